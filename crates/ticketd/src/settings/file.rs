//! The settings file: TOML, and any error in it with its line.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Form, Setting, TABLE};
use crate::failure::Failure;

/// A file and its text, to say where in it something is wrong.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn failure(&self, span: Option<Range<usize>>, message: &str) -> Failure {
        let path = self.path.display();
        let Some(span) = span else {
            return Failure::start(format!("{path}: {message}"));
        };
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure::start(format!("{path}:{line}: {message}"))
    }
}

/// Reads the settings of the file at `path`: keys and checked texts.
///
/// # Errors
/// The file cannot be read, is no TOML, or has a key or a value that is none of ours.
pub fn read(path: &Path) -> Result<Vec<(&'static str, String)>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let path = path.display();
        Failure::start(format!("the settings file {path} cannot be read: {error}; see --config"))
    })?;
    let source = Source { path, text: &text };
    let table = DeTable::parse(&text)
        .map_err(|error| source.failure(error.span(), &format!("not TOML: {}", error.message())))?;
    table.into_inner().iter().map(|(key, value)| entry(&source, key, value)).collect()
}

fn entry(
    source: &Source<'_>,
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
) -> Result<(&'static str, String), Failure> {
    let name = key.get_ref();
    let Some(setting) = Setting::find(name) else {
        return Err(source.failure(Some(key.span()), &unknown(name)));
    };
    let text = text_of(setting.form, value.get_ref()).ok_or_else(|| {
        let (form, found) = (setting.form.as_str(), value.get_ref().type_str());
        source.failure(Some(value.span()), &format!("{name}: expected {form}, not a TOML {found}"))
    })?;
    (setting.check)(&text).map_err(|expected| {
        source.failure(Some(value.span()), &format!("{name}: {expected}, not '{text}'"))
    })?;
    Ok((setting.key, text))
}

/// The value as it would stand in a flag, if it has the form that its setting asks for.
fn text_of(form: Form, value: &DeValue<'_>) -> Option<String> {
    if let (Form::Text | Form::TextOrNumber, Some(text)) = (form, value.as_str()) {
        return Some(text.to_owned());
    }
    if let (Form::Number | Form::TextOrNumber, Some(number)) = (form, value.as_integer()) {
        let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
        return Some(number.to_string());
    }
    if let (Form::Switch, Some(switch)) = (form, value.as_bool()) {
        return Some(switch.to_string());
    }
    None
}

fn unknown(name: &str) -> String {
    let keys: Vec<&str> = TABLE.iter().map(|setting| setting.key).collect();
    format!("unknown setting '{name}'; there are {}", keys.join(", "))
}
