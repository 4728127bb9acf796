//! The settings of `ticketd serve`: one table, from which the flags, the environment variables,
//! the keys of the file, the defaults, the help and the typed struct all come.

mod file;
mod layers;
mod value;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use ticketd_core::definition::BlockLen;
use ticketd_server::snowflake::SnowflakeSettings;

pub use file::Wanted;
pub use layers::InForce;
pub use value::{
    Advertise, ClockSpan, LeaseSpan, LogFilter, LogFormat, PreferredWorker, StoreSetting,
    WorkerCount,
};
use value::{Form, Value};

/// One row of the table.
pub struct Setting {
    /// Its name in the file; the flag and the environment variable are made from it.
    pub key: &'static str,
    /// What stands for the value in the help.
    value_name: &'static str,
    /// The default as text; empty for none.
    default: &'static str,
    help: &'static str,
    form: Form,
    /// Why a text is no value of it.
    check: fn(&str) -> Result<(), String>,
}

/// Makes the table and the struct of the same rows.
macro_rules! settings {
    ($($(#[doc = $help:literal])+ $key:ident: $kind:ty = $default:literal, $value:literal;)+) => {
        /// The settings in force.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $($(#[doc = $help])+ pub $key: $kind,)+
        }

        /// All settings, in the order in which they are shown.
        pub const TABLE: &[Setting] = &[$(Setting {
            key: stringify!($key),
            value_name: $value,
            default: $default,
            help: concat!($($help),+),
            form: <$kind as Value>::FORM,
            check: |text| <$kind as Value>::read(text).map(drop),
        }),+];

        impl Settings {
            /// Reads each setting from its text.
            fn read(text_of: impl Fn(&'static str) -> String) -> Result<Self, String> {
                Ok(Self {
                    $($key: <$kind as Value>::read(&text_of(stringify!($key)))?,)+
                })
            }
        }
    };
}

settings! {
    /// Directory of the embedded store, made if it is missing; with an engine, of what this server
    /// has seen of it, so that an engine that went back is noticed
    data_dir: PathBuf = "./ticketd-data", "DIR";
    /// Where blocks are reserved: embedded:DIR, memory: to forget all at the end, or an engine that
    /// several servers share: etcd://HOST1,HOST2,HOST3, postgres://USER:PASSWORD@HOST/DATABASE,
    /// mysql://USER:PASSWORD@HOST/DATABASE (without it: the embedded store in --data-dir)
    store: StoreSetting = "", "URL";
    /// Address to serve RESP on, which Redis clients speak; port 0 picks a free one
    resp: SocketAddr = "127.0.0.1:7117", "ADDR";
    /// Address to serve HTTP on; port 0 picks a free one
    http: SocketAddr = "127.0.0.1:7118", "ADDR";
    /// With an engine: where other servers reach the HTTP of this one, as HOST:PORT (without it:
    /// the address that it serves HTTP on)
    advertise: Advertise = "", "ADDR";
    /// With an engine: for how long this server may be silent before another takes over the
    /// sequences that it owns
    lease: LeaseSpan = "3s", "TIME";
    /// Serve on addresses that other machines reach: there is no authentication yet
    allow_open: bool = "false", "true|false";
    /// Create a sequence that does not exist, as a strict ticket, when it is first used
    auto_create: bool = "true", "true|false";
    /// How many IDs to reserve at a time for sequences that name no length of their own; auto
    /// follows demand, 1 leaves no gap in a crash
    block_len: BlockLen = "auto", "auto|N";
    /// Shortest block of auto
    block_len_min: u64 = "64", "N";
    /// Longest block of auto
    block_len_max: u64 = "1000000", "N";
    /// How long a request waits for the store before it is refused
    request_timeout: Duration = "5s", "TIME";
    /// How many worker IDs of a snowflake sequence to lease: they multiply its rate
    snowflake_workers: WorkerCount = "1", "N";
    /// Worker ID to ask for first, any or a number: it is taken if it is free
    snowflake_worker_id: PreferredWorker = "any", "any|N";
    /// How far the times in snowflake IDs may run ahead of the clock
    snowflake_ahead_max: ClockSpan = "1s", "TIME";
    /// How far the clock may jump ahead and still be believed
    clock_jump_max: ClockSpan = "1y", "TIME";
    /// Most connections at once, of both protocols together
    max_connections: usize = "16384", "N";
    /// What to log to standard error: error, warn, info, debug, trace, or a filter such as
    /// info,ticketd_server=debug
    log: LogFilter = "info", "FILTER";
    /// How to log: text or json
    log_format: LogFormat = "text", "text|json";
}

impl Settings {
    /// How this server makes snowflake IDs.
    pub const fn snowflake(&self) -> SnowflakeSettings {
        SnowflakeSettings {
            workers: self.snowflake_workers.0,
            worker_id: self.snowflake_worker_id.0,
            ahead_max: self.snowflake_ahead_max.0,
            clock_jump_max: self.clock_jump_max.0,
        }
    }
}

impl Setting {
    /// The row of the setting that the file calls `key`.
    pub fn find(key: &str) -> Option<&'static Self> {
        TABLE.iter().find(|setting| setting.key == key)
    }

    /// `--data-dir` without the dashes.
    fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// `TICKETD_DATA_DIR`.
    fn env(&self) -> String {
        format!("TICKETD_{}", self.key.to_uppercase())
    }

    fn arg(&self) -> Arg {
        let check = self.check;
        let read = move |text: &str| check(text).map(|()| text.to_owned());
        let mut help = format!("{} [env: {}]", self.help.trim(), self.env());
        if !self.default.is_empty() {
            help.push_str(&format!(" [default: {}]", self.default));
        }
        let arg = Arg::new(self.key)
            .long(self.flag())
            .value_name(self.value_name)
            .help(help)
            .value_parser(ValueParser::new(read));
        if matches!(self.form, Form::Switch) {
            // `--allow-open` alone says yes; so does `--allow-open true`.
            return arg.num_args(0..=1).default_missing_value("true");
        }
        arg
    }
}

/// The settings that were given as flags, as text that has been checked.
#[derive(Debug, Clone, Default)]
pub struct Flags(Vec<(&'static str, String)>);

impl Flags {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| *given == key).map(|(_, text)| text.as_str())
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        command.args(TABLE.iter().map(Setting::arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: &Setting| {
            matches.get_one::<String>(setting.key).map(|text| (setting.key, text.clone()))
        };
        Ok(Self(TABLE.iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_setting() {
        for setting in TABLE {
            assert_eq!((setting.check)(setting.default), Ok(()), "{}", setting.key);
        }
    }

    #[test]
    fn the_defaults_of_the_table_are_those_of_the_service() {
        let defaults = ticketd_server::service::ServiceSettings::default();
        let ours = Settings::read(|key| Setting::find(key).unwrap().default.to_owned()).unwrap();
        assert_eq!(ours.block_len, defaults.block_len);
        assert_eq!(ours.block_len_min, defaults.block_len_min);
        assert_eq!(ours.block_len_max, defaults.block_len_max);
        assert_eq!(ours.auto_create, defaults.auto_create);
        assert_eq!(ours.request_timeout, defaults.request_timeout);
        assert_eq!(ours.snowflake(), defaults.snowflake);
    }
}
