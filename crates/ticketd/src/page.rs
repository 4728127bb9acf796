//! What pages have in common: text within markup, and a file that is there as a whole or not at all.
//!
//! Their style is in `templates/page.css`.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::Failure;

/// What anybody may do with a page, less what the process masks.
const MODE: u32 = 0o666;

/// A file that a page will be written into.
#[derive(Debug)]
pub struct PageFile<'a> {
    named: &'a Path,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Beside the file, which it replaces once all is written.
    Beside(NamedTempFile, PathBuf),
    /// A device or a pipe, which stays what it is.
    Straight(fs::File),
}

impl<'a> PageFile<'a> {
    /// Makes ready to write a page into the file that `--html` names; what is there stays until
    /// then.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(named: &'a Path) -> Result<Self, Failure> {
        let place = place(named).map_err(|error| unwritable(named, &error))?;
        Ok(Self { named, place })
    }

    /// Writes the page.
    ///
    /// # Errors
    /// The file cannot be written; then what was there before is there still.
    pub fn write(self, page: &str) -> Result<(), Failure> {
        let written = match self.place {
            Place::Beside(file, path) => replace(file, &path, page),
            Place::Straight(mut file) => file.write_all(page.as_bytes()),
        };
        written.map_err(|error| unwritable(self.named, &error))
    }
}

fn place(named: &Path) -> io::Result<Place> {
    match fs::metadata(named) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if !found.is_file() => {
            OpenOptions::new().write(true).open(named).map(Place::Straight)
        }
        Ok(_) => {
            // Whoever may not write it may not replace it either; and a link stays a link.
            OpenOptions::new().append(true).open(named)?;
            beside(fs::canonicalize(named)?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => beside(named.to_owned()),
        Err(error) => Err(error),
    }
}

fn beside(path: PathBuf) -> io::Result<Place> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let file = tempfile::Builder::new()
        .prefix(".ticketd-page-")
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(|error| error.kind())?;
    Ok(Place::Beside(file, path))
}

fn replace(mut file: NamedTempFile, path: &Path, page: &str) -> io::Result<()> {
    file.write_all(page.as_bytes())?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::work(format!("{path} cannot be written: {error}; name another file with --html"))
}

/// Text as it stands within markup.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_would_be_markup_is_text() {
        assert_eq!(escaped(r#"a < b & "c" > d"#), "a &lt; b &amp; &quot;c&quot; &gt; d");
    }

    #[test]
    fn what_was_there_stays_until_the_page_is_written() {
        let home = tempfile::tempdir().unwrap();
        let (path, link) = (home.path().join("page.html"), home.path().join("link.html"));
        fs::write(&path, "old").unwrap();
        symlink(&path, &link).unwrap();
        drop(PageFile::create(&link).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        PageFile::create(&link).unwrap().write("new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2, "nothing is left beside it");
        PageFile::create(Path::new("/dev/null")).unwrap().write("page").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file(), "a device stays one");
    }

    #[test]
    fn a_place_that_takes_no_page_is_told_at_once() {
        let home = tempfile::tempdir().unwrap();
        for path in [home.path().to_owned(), home.path().join("nowhere/page.html")] {
            let failure = PageFile::create(&path).unwrap_err();
            assert_eq!(failure.code(), 1);
            let line = failure.to_string();
            assert!(line.contains(path.to_str().unwrap()) && line.contains("--html"), "{line}");
        }
    }
}
