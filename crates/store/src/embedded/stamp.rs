//! The stamp: which store this is, and how many commits it has made.
//!
//! The same 64 bytes are kept twice: in a row of the store, written by every commit, and outside
//! it, in the witness. Two copies that disagree show that one of the files was lost, replaced or
//! taken back, which the store alone cannot know.

use std::fmt;

/// The length of an encoded stamp in bytes: within one disk sector, so that writing it in place
/// is never torn.
pub(super) const STAMP_LEN: usize = 64;

const MAGIC: [u8; 8] = *b"tktstamp";
const FORMAT: u32 = 1;
const SUM_AT: usize = STAMP_LEN - 4;

/// Which store, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Random, drawn when the store was made.
    pub instance: u128,
    /// Commits since the store was made; 0 means that its making has not ended.
    pub commits: u64,
}

/// Bytes that are no stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StampError {
    /// Not the length of a stamp.
    Length,
    /// Damaged, or something else.
    Checksum,
    /// A format that this version does not know.
    Unknown,
}

impl Stamp {
    /// The stamp of the commit after this one.
    pub(super) const fn next(self) -> Self {
        Self { instance: self.instance, commits: self.commits + 1 }
    }

    /// Magic, format, instance, commits, zeros, then the CRC-32 of all that; little-endian.
    pub(super) fn encode(self) -> [u8; STAMP_LEN] {
        let mut bytes = [0; STAMP_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..28].copy_from_slice(&self.instance.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.commits.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..SUM_AT]);
        bytes[SUM_AT..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads what [`Stamp::encode`] wrote.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StampError> {
        let bytes: &[u8; STAMP_LEN] = bytes.try_into().map_err(|_| StampError::Length)?;
        if crc32fast::hash(&bytes[..SUM_AT]).to_le_bytes() != bytes[SUM_AT..] {
            return Err(StampError::Checksum);
        }
        if bytes[..8] != MAGIC || bytes[8..12] != FORMAT.to_le_bytes() {
            return Err(StampError::Unknown);
        }
        let mut instance = [0; 16];
        instance.copy_from_slice(&bytes[12..28]);
        let mut commits = [0; 8];
        commits.copy_from_slice(&bytes[28..36]);
        Ok(Self { instance: u128::from_le_bytes(instance), commits: u64::from_le_bytes(commits) })
    }
}

impl fmt::Display for StampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "its length is not that of a stamp",
            Self::Checksum => "its checksum does not match",
            Self::Unknown => "it was written by a version that this one does not know",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote_and_notices_every_flipped_bit() {
        let stamp = Stamp { instance: 0x0123_4567_89ab_cdef_1122_3344_5566_7788, commits: 77 };
        let bytes = stamp.encode();
        assert_eq!(Stamp::decode(&bytes), Ok(stamp));
        assert_eq!(Stamp::decode(&bytes[1..]), Err(StampError::Length));
        for bit in 0..STAMP_LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Stamp::decode(&damaged), Err(StampError::Checksum), "bit {bit}");
        }
    }
}
