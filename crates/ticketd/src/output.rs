//! Standard output, for data and nothing else. Whoever reads it may stop reading at any time.

use std::io::{self, BufWriter, ErrorKind, Write};

use crate::failure::Failure;

/// How many bytes are gathered before they are written.
const BUFFER_LEN: usize = 64 * 1024;

/// A buffered standard output.
pub type Output = BufWriter<io::Stdout>;

/// Opens standard output for much data.
pub fn open() -> Output {
    BufWriter::with_capacity(BUFFER_LEN, io::stdout())
}

/// Writes data and flushes it. A reader that has gone, as `head` does, is no error.
pub fn write(data: impl FnOnce(&mut Output) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = open();
    match data(&mut out).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) => {
            // What is left in the buffer could not be written either.
            drop(out.into_parts());
            if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(unwritable(&error)) }
        }
    }
}

/// Standard output does not take what it is given.
pub fn unwritable(error: &io::Error) -> Failure {
    Failure::work(format!("standard output cannot be written: {error}"))
}
