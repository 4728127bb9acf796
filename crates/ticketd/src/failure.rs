//! How a command fails: an exit code, and one line that names the thing and the way out.

use std::fmt;

/// Why a command ends with a code other than 0.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    line: String,
}

impl Failure {
    /// The work failed: a duplicate was found, the server said no.
    pub fn work(line: impl fmt::Display) -> Self {
        Self::new(1, line)
    }

    /// The command was used wrongly, in a way that the parser of arguments could not see.
    pub fn usage(line: impl fmt::Display) -> Self {
        Self::new(2, line)
    }

    /// The server could not start: a port taken, a directory in use, a bad configuration.
    pub fn start(line: impl fmt::Display) -> Self {
        Self::new(3, line)
    }

    fn new(code: u8, line: impl fmt::Display) -> Self {
        // Messages of other crates may have more than one line; ours is one.
        let line = line.to_string();
        let pieces: Vec<&str> = line.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        Self { code, line: pieces.join("; ") }
    }

    /// The exit code of the process.
    pub const fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_many_lines_becomes_one() {
        let failure = Failure::start("expected a value\n\n  at line 3\n");
        assert_eq!(failure.to_string(), "expected a value; at line 3");
        assert_eq!(failure.code(), 3);
    }
}
