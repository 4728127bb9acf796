//! The settings file: TOML, and any error in it with its line. Beside settings it may hold a table
//! for each sequence that shall be there.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use ticketd_core::definition::Definition;
use ticketd_core::name::Name;
use ticketd_server::http::CreateSequence;
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

/// What a file says.
#[derive(Debug, Default)]
pub struct Content {
    /// Keys and checked texts.
    pub settings: Vec<(&'static str, String)>,
    /// The sequences that shall be there.
    pub sequences: Vec<Wanted>,
}

/// A sequence that shall be there.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub name: Name,
    pub definition: Definition,
    /// Although its layout runs out within ten years.
    pub insists: bool,
    /// Where it is asked for: the file and the line.
    pub place: String,
}

/// The key of the tables of sequences.
const SEQUENCES: &str = "sequences";

/// Reads the file at `path`.
///
/// # Errors
/// The file cannot be read, is no TOML, or has a key or a value that is none of ours.
pub fn read(path: &Path) -> Result<Content, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let path = path.display();
        Failure::start(format!("the settings file {path} cannot be read: {error}; see --config"))
    })?;
    let source = Source { path, text: &text };
    let table = DeTable::parse(&text)
        .map_err(|error| source.failure(error.span(), &format!("not TOML: {}", error.message())))?;
    let mut content = Content::default();
    for (key, value) in table.into_inner().iter() {
        if key.get_ref() == SEQUENCES {
            content.sequences = sequences(&source, value)?;
        } else {
            content.settings.push(entry(&source, key, value)?);
        }
    }
    Ok(content)
}

fn sequences(source: &Source<'_>, all: &Spanned<DeValue<'_>>) -> Result<Vec<Wanted>, Failure> {
    let tables = all.get_ref().as_table().ok_or_else(|| {
        source.failure(Some(all.span()), "sequences are tables, such as [sequences.notes]")
    })?;
    let wanted = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let name = key.get_ref();
        let wrong = |span, why: &str| {
            source.failure(Some(span), &format!("[sequences.{}]: {why}", name.escape_debug()))
        };
        let chosen = CreateSequence::deserialize(value.clone().into_deserializer())
            .map_err(|error| wrong(error.span().unwrap_or(key.span()), error.message()))?;
        let (definition, insists) = chosen.choose().map_err(|why| wrong(key.span(), &why))?;
        let checked = Name::new(name).map_err(|why| wrong(key.span(), &why.to_string()))?;
        let place = source.failure(Some(key.span()), &format!("[sequences.{name}]")).to_string();
        Ok(Wanted { name: checked, definition, insists, place })
    };
    tables.iter().map(wanted).collect()
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
    format!("unknown setting '{name}'; there are {}, and [sequences.NAME]", keys.join(", "))
}
