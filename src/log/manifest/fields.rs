//! Little-endian fields, taken from untrusted bytes one by one.

/// Why bytes are not what this build could have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// They cannot have been written by any version.
    Bad(&'static str),
    /// A newer version, or an optional feature, that this build does not know.
    Unknown(&'static str),
}

/// What remains of a run of fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Flaw> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Flaw::Bad("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// All that remains.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        self.bytes(N)?.try_into().map_err(|_| Flaw::Bad("it ends too early"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Flaw> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Flaw> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Flaw> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Flaw> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Result<u128, Flaw> {
        self.array().map(u128::from_le_bytes)
    }

    /// Room kept for later versions: they must raise the version or a flag before using it.
    pub(super) fn zeros<const N: usize>(&mut self) -> Result<(), Flaw> {
        if self.array::<N>()? == [0; N] { Ok(()) } else { Err(Flaw::Unknown("a reserved field")) }
    }

    pub(super) fn flag(&mut self) -> Result<bool, Flaw> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Flaw::Unknown("a flag")),
        }
    }
}
