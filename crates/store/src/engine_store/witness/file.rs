//! The file of a witness: a line for each key, each with a checksum of the file up to there. The
//! newest line of a key counts. A change is appended, without a sync; now and then the file is
//! written anew without old lines.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use ticketd_core::failure::FailureKind;

use super::Seen;
use crate::embedded::{at_start, create_dir};
use crate::engine::Key;
use crate::error::StoreError;

const NAME: &str = "engine-witness";
const DRAFT: &str = "engine-witness.new";
const LOCK: &str = "engine-lock";

/// What the first line begins with: the form of the file.
const HEAD: &str = "ticketd-witness=1";

/// How many bytes are appended, at least, before the file is written anew without old lines.
const APPENDED_LEN_MAX: usize = 1 << 20;

/// An open witness.
#[derive(Debug)]
pub(super) struct WitnessFile {
    dir: PathBuf,
    /// Its lock (flock) keeps every other ticketd out that keeps a witness here.
    _lock: File,
    file: Option<File>,
    latest: Seen,
    /// The checksum of all that is in the file.
    sum: crc32fast::Hasher,
    /// How long the file was when it was written anew, and how much was appended since.
    fresh_len: usize,
    appended_len: usize,
}

impl WitnessFile {
    pub(super) fn is_there(dir: &Path) -> bool {
        dir.join(NAME).exists()
    }

    /// Locks `dir`, makes it if there is none, and reads its file, if there is one.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        create_dir(dir).map_err(|e| failed("make the data directory", dir, &e))?;
        let lock = lock(dir)?;
        let path = dir.join(NAME);
        let latest = match fs::read(&path) {
            Ok(bytes) => read(&bytes).ok_or_else(|| damaged(&path))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Seen::new(),
            Err(error) => return Err(failed("read the witness", &path, &error)),
        };
        Ok(Self {
            dir: dir.to_owned(),
            _lock: lock,
            file: None,
            latest,
            sum: crc32fast::Hasher::new(),
            fresh_len: 0,
            appended_len: 0,
        })
    }

    /// What it holds.
    pub(super) const fn seen(&self) -> &Seen {
        &self.latest
    }

    fn path(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// Writes the whole file for the first time since it was opened.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        self.rewrite().map_err(|e| failed("write the witness", &self.path(), &e))
    }

    /// Adds `lines`. After an error only [`WitnessFile::rewrite`] is of use.
    pub(super) fn append(&mut self, lines: Seen) -> io::Result<()> {
        let mut text = String::new();
        for (key, value) in lines {
            push(&mut text, &mut self.sum, &format!("{key} {value}"));
            self.latest.insert(key, value);
        }
        self.appended_len += text.len();
        if self.appended_len > APPENDED_LEN_MAX.max(self.fresh_len) {
            return self.rewrite();
        }
        match &mut self.file {
            Some(file) => file.write_all(text.as_bytes()),
            None => self.rewrite(),
        }
    }

    /// Writes all that is known, all or nothing, and durably.
    pub(super) fn rewrite(&mut self) -> io::Result<()> {
        self.file = None;
        let (mut text, mut sum) = (String::new(), crc32fast::Hasher::new());
        push(&mut text, &mut sum, HEAD);
        for (key, value) in &self.latest {
            push(&mut text, &mut sum, &format!("{key} {value}"));
        }
        let draft = self.dir.join(DRAFT);
        let mut file = File::create(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&draft, self.path())?;
        File::open(&self.dir)?.sync_all()?;
        (self.file, self.sum) = (Some(file), sum);
        (self.fresh_len, self.appended_len) = (text.len(), 0);
        Ok(())
    }

    /// Makes durable what was appended.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }
}

/// Adds `line` with its checksum.
fn push(text: &mut String, sum: &mut crc32fast::Hasher, line: &str) {
    sum.update(line.as_bytes());
    text.push_str(line);
    text.push_str(&format!(" #{:08x}\n", sum.clone().finalize()));
}

/// What to say of a file that cannot be understood.
fn damaged(path: &Path) -> StoreError {
    let message = format!(
        "the witness of the engine is damaged: if the engine surely has its latest state, remove \
         the file, and it is made again; otherwise raise all sequences first; file {}",
        path.display()
    );
    StoreError::new(FailureKind::Corrupt, message)
}

/// Reads a whole file; `None` if it is damaged. What was being appended when the machine lost its
/// power may be there in part, as the end of the file.
fn read(bytes: &[u8]) -> Option<Seen> {
    let mut sum = crc32fast::Hasher::new();
    let mut pieces = bytes.split_inclusive(|byte| *byte == b'\n');
    let mut lines = Seen::new();
    if checked(pieces.next()?, &mut sum)? != HEAD {
        return None;
    }
    while let Some(piece) = pieces.next() {
        let Some(line) = checked(piece, &mut sum) else {
            tracing::warn!("the end of the witness is torn, and left out");
            return pieces.next().is_none().then_some(lines);
        };
        let (key, value) = line.split_once(' ')?;
        lines.insert(Key::checked(key)?, value.to_owned());
    }
    Some(lines)
}

/// The line of `piece`, if its checksum is right.
fn checked<'a>(piece: &'a [u8], sum: &mut crc32fast::Hasher) -> Option<&'a str> {
    let text = std::str::from_utf8(piece).ok()?.strip_suffix('\n')?;
    let (line, told) = text.rsplit_once(" #")?;
    sum.update(line.as_bytes());
    (told == format!("{:08x}", sum.clone().finalize())).then_some(line)
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = opened.map_err(|e| failed("open the lock of the data directory", &path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!(
                "data directory {} is in use by another ticketd, which keeps there what it has \
                 seen of its engine; give --data-dir another directory",
                dir.display()
            );
            Err(StoreError::new(FailureKind::Invalid, message))
        }
        Err(TryLockError::Error(error)) => Err(failed("lock the data directory", &path, &error)),
    }
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> StoreError {
    let failure = at_start(doing, path, error);
    StoreError::new(failure.kind, failure.message.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(of: &[(&str, &str)]) -> Seen {
        of.iter().map(|(key, value)| (Key::new(*key), (*value).to_owned())).collect()
    }

    /// A file that was written in three goes, and what is in it.
    fn written(dir: &Path) -> Vec<u8> {
        let mut file = WitnessFile::open(dir).unwrap();
        assert_eq!(*file.seen(), Seen::new());
        file.begin().unwrap();
        file.append(lines(&[("a", "1 x"), ("b", "2")])).unwrap();
        file.append(lines(&[("a", "3")])).unwrap();
        file.append(lines(&[("c", "4")])).unwrap();
        fs::read(dir.join(NAME)).unwrap()
    }

    #[test]
    fn the_newest_line_of_a_key_counts() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        let mut file = WitnessFile::open(dir.path()).unwrap();
        assert_eq!(*file.seen(), lines(&[("a", "3"), ("b", "2"), ("c", "4")]));
        // Written anew it says the same, also when old lines have grown too many.
        file.begin().unwrap();
        let long = "9".repeat(1000);
        for _ in 0..1100 {
            file.append(lines(&[("a", &long)])).unwrap();
        }
        let len = fs::metadata(dir.path().join(NAME)).unwrap().len();
        assert!(len < APPENDED_LEN_MAX as u64, "{len}");
        drop(file);
        let file = WitnessFile::open(dir.path()).unwrap();
        assert_eq!(*file.seen(), lines(&[("a", &long), ("b", "2"), ("c", "4")]));
    }

    #[test]
    fn what_was_cut_off_while_it_was_appended_is_left_out_and_all_else_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = written(dir.path());
        let whole = read(&bytes).unwrap();
        let last = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
        let before = lines(&[("a", "3"), ("b", "2")]);
        for end in last..bytes.len() {
            assert_eq!(read(&bytes[..end]).unwrap(), before, "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            match read(&damaged) {
                None => assert!(at < last, "at {at}"),
                Some(read) if at >= last => assert_eq!(read, before, "at {at}"),
                // The last two lines have become one.
                Some(read) => assert!(at == last - 1 && read != whole, "at {at}"),
            }
        }
        fs::write(dir.path().join(NAME), &bytes[5..]).unwrap();
        let error = WitnessFile::open(dir.path()).unwrap_err();
        assert!(error.kind == FailureKind::Corrupt && error.message.contains("remove the file"));
    }

    #[test]
    fn one_at_a_time_uses_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = WitnessFile::open(dir.path()).unwrap();
        let error = WitnessFile::open(dir.path()).unwrap_err();
        assert!(error.message.contains("in use by another ticketd"), "{error}");
        drop(first);
        WitnessFile::open(dir.path()).unwrap();
    }
}
