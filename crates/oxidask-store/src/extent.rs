//! Where something is in an arena, and where its parts are in it.

/// Each part of an extent begins at a multiple of this many bytes from its beginning.
pub const ALIGNMENT: u64 = 64;

/// A stretch of an arena that holds one object: all its parts, one after the other.
///
/// It says nothing about how long it stays: whoever reads an extent sees to it that its writer does
/// not free it meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent {
    /// Bytes from the beginning of the arena.
    pub offset: u64,
    /// Bytes from the beginning of the first part to the end of the last.
    pub length: u64,
}

/// Where parts of these lengths begin, in bytes from the beginning of their extent.
///
/// Writer and readers both use it, so that an extent and the lengths of its parts say everything.
pub fn part_offsets(lengths: impl IntoIterator<Item = u64>) -> impl Iterator<Item = u64> {
    lengths.into_iter().scan(0, |end, length| {
        let begin = u64::next_multiple_of(*end, ALIGNMENT);
        *end = begin + length;
        Some(begin)
    })
}

/// The length of an extent that holds parts of these lengths.
pub fn total_length(lengths: impl IntoIterator<Item = u64>) -> u64 {
    lengths.into_iter().fold(0, |end, length| u64::next_multiple_of(end, ALIGNMENT) + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_aligned_and_do_not_overlap() {
        let lengths = [0, 1, 64, 65, 0, 7];
        let offsets: Vec<u64> = part_offsets(lengths).collect();
        assert_eq!(offsets, [0, 0, 64, 128, 256, 256]);
        assert_eq!(total_length(lengths), 263);
    }

    #[test]
    fn nothing_has_no_length() {
        assert_eq!(total_length([]), 0);
        assert_eq!(total_length([0, 0]), 0);
    }
}
