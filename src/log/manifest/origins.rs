//! Whose files a copied log began with.

use super::record::Record;

/// The logs that wrote the segment files that a copy began with.
///
/// A file that two logs share cannot carry the identity of both, and its salts follow from one.
/// So a copy remembers, by file number, whose files it took over: numbers only grow, in a log and
/// in what goes on from its copy, so a few boundaries are enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<(u64, u128)>);

impl Origins {
    /// The log that wrote file `number`: one of these, or `own`.
    #[must_use]
    pub fn writer(&self, number: u64, own: u128) -> u128 {
        let first = self.0.partition_point(|(upto, _)| *upto < number);
        self.0.get(first).map_or(own, |(_, log_id)| *log_id)
    }

    /// The origins of a copy of the log `own` that has these and takes over the files `numbers`:
    /// those of which it has any file.
    #[must_use]
    pub fn of_copy(&self, own: u128, numbers: impl Iterator<Item = u64>) -> Self {
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        let mut copied: Vec<(u64, u128)> = Vec::new();
        for number in numbers {
            let writer = self.writer(number, own);
            match copied.last_mut() {
                Some((upto, last)) if *last == writer => *upto = number,
                _ => copied.push((number, writer)),
            }
        }
        Self(copied)
    }

    /// Adds an origin; its number is above all others.
    pub(super) fn add(&mut self, log_id: u128, upto: u64) -> Result<(), String> {
        let last = self.0.last().map_or(0, |(upto, _)| *upto);
        if upto <= last {
            return Err(format!(
                "files up to {upto} are another log's, and so are those up to {last}"
            ));
        }
        self.0.push((upto, log_id));
        Ok(())
    }

    /// The records that say so.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.0.iter().map(|&(upto, log_id)| Record::Origin { log_id, upto })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_writer_through_copies_of_copies() {
        let first = Origins::default().of_copy(10, [1, 3, 4].into_iter());
        assert_eq!([1, 4, 5].map(|number| first.writer(number, 11)), [10, 10, 11]);
        let second = first.of_copy(11, [4, 7, 6].into_iter());
        assert_eq!([4, 6, 7, 8].map(|number| second.writer(number, 12)), [10, 11, 11, 12]);
        let third = second.of_copy(12, [9].into_iter());
        assert_eq!(third.0, [(9, 12)], "a log of which no file is left is forgotten");
        assert_eq!(third.of_copy(13, [].into_iter()), Origins::default());
    }

    #[test]
    fn numbers_of_origins_grow() {
        let mut origins = Origins::default();
        assert!(origins.add(1, 0).is_err());
        origins.add(1, 4).unwrap();
        assert!(origins.add(2, 4).is_err());
        origins.add(1, 5).unwrap();
        assert_eq!(origins.records().count(), 2);
    }
}
