//! Where a setting comes from: flag, environment, file, default, in that order.

use std::collections::BTreeMap;
use std::env::{self, VarError};
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use super::{Flags, Form, Setting, Settings, TABLE, Wanted, file};
use crate::failure::Failure;
use crate::store_url::StoreUrl;

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody chose it.
    Default,
    /// The settings file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag on the command line.
    Flag(String),
}

impl Origin {
    /// The stronger one wins.
    const fn strength(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File(_) => 1,
            Self::Environment(_) => 2,
            Self::Flag(_) => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// The settings in force, each with its origin.
#[derive(Debug)]
pub struct InForce {
    /// Their values.
    pub settings: Settings,
    /// The store that `data_dir` and `store` come to.
    pub store: StoreUrl,
    /// The sequences that the file asks for.
    pub sequences: Vec<Wanted>,
    texts: BTreeMap<&'static str, (Origin, String)>,
}

impl InForce {
    /// Gathers the settings from `flags`, the environment, the file at `config` and the defaults.
    ///
    /// # Errors
    /// The first one that makes no sense, with where it stands.
    pub fn gather(flags: &Flags, config: Option<&Path>) -> Result<Self, Failure> {
        let file::Content { settings: file, sequences } =
            config.map(file::read).transpose()?.unwrap_or_default();
        let file: BTreeMap<_, _> = file.into_iter().collect();
        let mut texts = BTreeMap::new();
        for setting in TABLE {
            let chosen = if let Some(text) = flags.get(setting.key) {
                (Origin::Flag(setting.flag()), text.to_owned())
            } else if let Some(text) = environment(setting)? {
                (Origin::Environment(setting.env()), text)
            } else if let (Some(path), Some(text)) = (config, file.get(setting.key)) {
                (Origin::File(path.to_owned()), text.clone())
            } else {
                (Origin::Default, setting.default.to_owned())
            };
            texts.insert(setting.key, chosen);
        }
        let settings =
            Settings::read(|key| texts[key].1.clone()).expect("each text was checked where it is");
        check_block_lens(&settings)?;
        let store = store(&settings, &texts)?;
        Ok(Self { settings, store, sequences, texts })
    }

    /// The settings as a TOML file that says where each comes from.
    pub fn to_toml(&self) -> String {
        let mut toml = String::new();
        for setting in TABLE {
            let (origin, text) = &self.texts[setting.key];
            let line = match setting.key {
                "data_dir" | "store" => self.store_line(setting.key),
                _ => Some((setting.form.quote(text), origin.to_string())),
            };
            if let Some((value, origin)) = line {
                // An origin may be a path, and a path may hold a line break.
                let origin = origin.replace(char::is_control, "?");
                writeln!(toml, "{} = {value}  # {origin}", setting.key)
                    .expect("a string takes every write");
            }
        }
        for wanted in &self.sequences {
            toml.push_str(&table_of(wanted));
        }
        toml
    }

    /// The two settings of the store as they come out: they may not contradict each other.
    fn store_line(&self, key: &str) -> Option<(String, String)> {
        let (given, other) =
            if key == "store" { ("store", "data_dir") } else { ("data_dir", "store") };
        let value = match (key, &self.store) {
            ("store", url) => url.to_string(),
            (_, StoreUrl::Embedded(dir)) => dir.display().to_string(),
            (_, StoreUrl::Engine(_)) => self.settings.data_dir.display().to_string(),
            (_, StoreUrl::Memory) => return None,
        };
        let (origin, text) = &self.texts[given];
        let is_own = Form::Text.quote(text) == Form::Text.quote(&value);
        let from_other = format!("{} ({other})", self.texts[other].0);
        Some((Form::Text.quote(&value), if is_own { origin.to_string() } else { from_other }))
    }
}

/// The table that asks for `wanted`.
fn table_of(wanted: &Wanted) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut toml = format!("\n[sequences.{}]\n", quoted(wanted.name.as_str()));
    let mut rows = wanted.definition.rows();
    rows.retain(|(key, _)| *key != "block_len" || wanted.definition.block_len.is_some());
    if wanted.insists {
        rows.push(("insist", true.to_string()));
    }
    for (key, value) in rows {
        let is_bare = value == "true" || value.parse::<u64>().is_ok();
        let value = if is_bare { value } else { quoted(&value) };
        writeln!(toml, "{key} = {value}").expect("a string takes every write");
    }
    toml
}

impl Form {
    /// A text that was checked to be of this form, as TOML.
    fn quote(self, text: &str) -> String {
        match self {
            Self::Number => text.to_owned(),
            Self::TextOrNumber if text.parse::<u64>().is_ok() => text.to_owned(),
            Self::Switch => matches!(text, "true" | "1").to_string(),
            Self::Text | Self::TextOrNumber => toml::Value::from(text).to_string(),
        }
    }
}

/// What the environment says about `setting`. An empty variable counts as none, since many ways
/// to start a process cannot leave one out.
fn environment(setting: &Setting) -> Result<Option<String>, Failure> {
    let name = setting.env();
    match env::var(&name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => match (setting.check)(&text) {
            Ok(()) => Ok(Some(text)),
            Err(expected) => Err(Failure::start(format!("{name}: {expected}, not '{text}'"))),
        },
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Failure::start(format!("{name} is not UTF-8"))),
    }
}

fn check_block_lens(settings: &Settings) -> Result<(), Failure> {
    let (min, max) = (settings.block_len_min, settings.block_len_max);
    if min > max {
        let message = format!("block_len_min is above block_len_max: {min} > {max}");
        return Err(Failure::start(message));
    }
    Ok(())
}

/// `data_dir` and `store` both name a store: the one from the stronger origin is in force. Beside an
/// engine the directory is no store.
fn store(
    settings: &Settings,
    texts: &BTreeMap<&'static str, (Origin, String)>,
) -> Result<StoreUrl, Failure> {
    let of_dir = StoreUrl::Embedded(settings.data_dir.clone());
    let Some(url) = &settings.store.0 else {
        return Ok(of_dir);
    };
    let url = StoreUrl::parse(url)?;
    if matches!(url, StoreUrl::Engine(_)) {
        return Ok(url);
    }
    match texts["data_dir"].0.strength().cmp(&texts["store"].0.strength()) {
        std::cmp::Ordering::Less => Ok(url),
        std::cmp::Ordering::Greater => Ok(of_dir),
        std::cmp::Ordering::Equal if url == of_dir => Ok(url),
        std::cmp::Ordering::Equal => Err(Failure::start(format!(
            "data_dir and store ask for different stores; give only one of them: {} ({}), {url} \
             ({})",
            settings.data_dir.display(),
            texts["data_dir"].0,
            texts["store"].0
        ))),
    }
}
