//! The rules of the house that no compiler checks: see ARCHITECTURE.md and CONTRIBUTING.md.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Longest file and function, in lines.
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Which crates of the workspace each may use. Arrows point one way.
const EDGES: [(&str, &[&str]); 8] = [
    ("core", &[]),
    ("store", &["ticketd-core"]),
    ("server", &["ticketd-core", "ticketd-store"]),
    ("sim", &["ticketd-core", "ticketd-store", "ticketd-server"]),
    ("ticketd", &["ticketd-core", "ticketd-store", "ticketd-server", "ticketd-sim"]),
    ("engines", &[]),
    ("chaos", &["ticketd-engines"]),
    ("../xtask", &["ticketd-chaos", "ticketd-engines"]),
];

/// Names that say nothing about what is in them.
const VAGUE: [&str; 6] = ["common", "utils", "util", "types", "helpers", "misc"];

/// Checks the checkout at `root` and fails with all that is wrong.
pub fn run(root: &Path) -> Result<()> {
    let wrong = check(root)?;
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("not tidy:\n  {}", wrong.join("\n  "));
}

fn check(root: &Path) -> Result<Vec<String>> {
    let files = tracked(root)?;
    let mut wrong = edges(root)?;
    for path in &files {
        let shown = path.display();
        if path.components().any(|c| {
            VAGUE.iter().any(|v| c.as_os_str() == *v || c.as_os_str() == format!("{v}.rs").as_str())
        }) {
            wrong.push(format!("{shown}: a room needs a name that says what is in it"));
        }
        let Ok(text) = std::fs::read_to_string(root.join(path)) else {
            continue;
        };
        if path.extension().is_some_and(|extension| extension == "rs") {
            wrong.extend(source(&text).into_iter().map(|w| format!("{shown}{w}")));
        }
        if let Some(line) = text.lines().position(|l| MACHINE_PATHS.iter().any(|p| l.contains(p))) {
            wrong.push(format!("{shown}:{}: a path of one machine", line + 1));
        }
    }
    Ok(wrong)
}

/// Starts of paths that exist on some machine only. Written so that this file does not hold them.
const MACHINE_PATHS: [&str; 3] =
    [concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/")];

fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(list).current_dir(root).output();
    let output = output.context("git could not be started")?;
    let text = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    // What is listed but gone was deleted and not yet committed.
    Ok(text.lines().map(PathBuf::from).filter(|path| root.join(path).is_file()).collect())
}

/// What is wrong with one source file, each with `:line: ` in front.
fn source(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut wrong = Vec::new();
    if !lines.first().is_some_and(|line| line.starts_with("//!")) {
        wrong.push(":1: a module starts with what it is for".to_owned());
    }
    if lines.len() > FILE_LINES_MAX {
        wrong.push(format!(":1: {} lines, at most {FILE_LINES_MAX}", lines.len()));
    }
    for (start, line) in lines.iter().enumerate() {
        let len = function_len(&lines[start..], line);
        if len > FUNCTION_LINES_MAX {
            wrong.push(format!(":{}: a function of {len} lines", start + 1));
        }
    }
    wrong
}

/// How many lines the function has that begins on `line`; 0 if none does. Formatted code closes a
/// function with a brace at the indentation of its first line.
fn function_len(rest: &[&str], line: &str) -> usize {
    let code = line.trim_start();
    let indent = &line[..line.len() - code.len()];
    let words: Vec<&str> = code.split_whitespace().collect();
    let qualifiers = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe"];
    let is_function = words.iter().find(|w| !qualifiers.contains(w)) == Some(&"fn");
    if !is_function || code.ends_with('}') {
        return 0;
    }
    // A declaration without a body ends in a semicolon before any brace opens.
    let opens = rest.iter().position(|l| l.ends_with('{') || l.ends_with(';'));
    if opens.is_none_or(|at| rest[at].ends_with(';')) {
        return 0;
    }
    let closes = |l: &&str| l.strip_prefix(indent) == Some("}");
    rest.iter().position(closes).map_or(0, |end| end + 1)
}

/// Dependencies between crates that point the wrong way.
fn edges(root: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (room, allowed) in EDGES {
        let path = root.join("crates").join(room).join("Cargo.toml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} could not be read", path.display()))?;
        let manifest: toml::Table = text.parse()?;
        let empty = toml::Table::new();
        let uses = manifest.get("dependencies").and_then(|d| d.as_table()).unwrap_or(&empty);
        for used in uses.keys().filter(|name| name.starts_with("ticketd")) {
            if !allowed.contains(&used.as_str()) {
                wrong.push(format!("crates/{room}: must not use {used}"));
            }
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_is_tidy() {
        let wrong = check(&crate::root()).unwrap();
        assert!(wrong.is_empty(), "not tidy:\n  {}", wrong.join("\n  "));
    }

    #[test]
    fn what_is_untidy_is_found() {
        assert_eq!(source("fn a() {}\n").len(), 1, "no module doc");
        let body = "    let _ = 1;\n";
        let long = format!("//! x\n\npub(crate) async fn a() {{\n{}}}\n", body.repeat(69));
        assert_eq!(source(&long), [":3: a function of 71 lines"]);
        let short = format!("//! x\n\nfn a() {{\n{}}}\n", body.repeat(68));
        assert!(source(&short).is_empty());
        let declared =
            format!("//! x\n\ntrait A {{\n    fn a();\n{body}    }}\n}}\n", body = body.repeat(80));
        assert!(source(&declared).is_empty());
        assert_eq!(source(&format!("//! x\n{}", "\n".repeat(600))).len(), 1, "too long a file");
    }
}
