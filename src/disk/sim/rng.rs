//! Chance that a seed repeats.

/// SplitMix64: small, and good enough to pick what a power cut spares.
#[derive(Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % (end as u64).max(1)) as usize
    }
}

/// What a power cut leaves of everything that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerCut {
    /// Nothing: only what was synced is there.
    Nothing,
    /// Everything, as if the system had written all of it back just before.
    Everything,
    /// Any part of it, chosen by this seed.
    Seed(u64),
}

/// Picks versions in the name of a [`PowerCut`].
#[derive(Debug)]
pub(super) struct Dice {
    cut: PowerCut,
    rng: Rng,
    /// How many of 8 changes happened. Rolled anew for each file: with one fixed chance no file
    /// of many sectors would ever come out nearly whole, or nearly empty.
    density: u64,
}

impl Dice {
    pub(super) fn new(cut: PowerCut) -> Dice {
        let seed = if let PowerCut::Seed(seed) = cut { seed } else { 0 };
        let mut dice = Dice { cut, rng: Rng::new(seed), density: 4 };
        dice.reroll();
        dice
    }

    /// Begins with another file.
    pub(super) fn reroll(&mut self) {
        const DENSITIES: [u64; 6] = [0, 1, 4, 4, 7, 8];
        let index = self.rng.below(DENSITIES.len());
        self.density = DENSITIES.get(index).copied().unwrap_or(4);
    }

    /// Whether a single change happened.
    pub(super) fn happened(&mut self) -> bool {
        match self.cut {
            PowerCut::Nothing => false,
            PowerCut::Everything => true,
            PowerCut::Seed(_) => self.rng.next() % 8 < self.density,
        }
    }

    /// Which of `count` successive versions is there; `None` if not even the first.
    pub(super) fn version(&mut self, count: usize) -> Option<usize> {
        let last = count.checked_sub(1)?;
        if !self.happened() {
            return None;
        }
        // The last one is as likely as all those before it.
        let between = matches!(self.cut, PowerCut::Seed(_)) && self.rng.below(2) == 0;
        Some(if between { self.rng.below(count) } else { last })
    }
}
