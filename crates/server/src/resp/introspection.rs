//! What clients ask about the server and themselves: `HELLO`, `CLIENT`, `COMMAND`, `CONFIG GET`,
//! `INFO` and the like.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::error::ServiceError;
use crate::limits::{RESP_ARG_LEN_MAX, RESP_WRITE_LEN};
use crate::resp::command::{Command, Hello, SPECS, Spec};
use crate::resp::context::RespContext;
use crate::resp::glob;
use crate::resp::reply::Reply;

/// The version of Redis whose commands are answered; client libraries look at it.
const REDIS_VERSION: &str = "7.0.0";

/// The longest name that a client may give itself, in bytes.
const CLIENT_NAME_LEN_MAX: usize = 256;

/// What is known of a client.
#[derive(Debug)]
pub(crate) struct Client {
    id: u64,
    addr: Option<SocketAddr>,
    name: String,
    library: String,
    library_version: String,
}

impl Client {
    pub(crate) fn new(id: u64, addr: Option<SocketAddr>) -> Self {
        Self {
            id,
            addr,
            name: String::new(),
            library: String::new(),
            library_version: String::new(),
        }
    }

    pub(crate) fn reset(&mut self) {
        self.name.clear();
    }

    fn line(&self, resp3: bool) -> String {
        format!(
            "id={} addr={} name={} db=0 resp={} lib-name={} lib-ver={}",
            self.id,
            self.addr.map_or_else(|| "?".to_owned(), |addr| addr.to_string()),
            self.name,
            if resp3 { 3 } else { 2 },
            self.library,
            self.library_version,
        )
    }
}

/// Whether a line looks like HTTP: a browser, or a page in one that tries this port.
pub(crate) fn is_http(frame: &[u8]) -> bool {
    let starts =
        |word: &[u8]| frame.len() >= word.len() && frame[..word.len()].eq_ignore_ascii_case(word);
    starts(b"POST ")
        || starts(b"GET /")
        || starts(b"HOST:")
        || starts(b"PUT /")
        || starts(b"HEAD /")
}

/// Answers a command that needs no sequence.
pub(crate) fn answer(
    context: &RespContext,
    client: &mut Client,
    reply: &mut Reply,
    command: Command<'_>,
) -> Result<(), ServiceError> {
    match command {
        Command::Ping(None) => reply.simple("PONG"),
        Command::Ping(Some(text)) | Command::Echo(text) => reply.bulk(text),
        Command::Hello(asked) => hello(client, reply, &asked)?,
        Command::Auth => return Err(no_passwords()),
        Command::Client(args) => client_command(client, reply, &args)?,
        Command::Command(args) => command_command(reply, &args)?,
        Command::ConfigGet(patterns) => config_get(context, reply, &patterns),
        Command::Info(sections) => reply.verbatim(&info(context, &sections)),
        Command::Select(Some(0)) => reply.ok(),
        Command::Select(_) => {
            return Err(ServiceError::invalid("DB index is out of range; there is only 0"));
        }
        other => unreachable!("{other:?} is answered elsewhere"),
    }
    Ok(())
}

fn no_passwords() -> ServiceError {
    ServiceError::invalid(
        "AUTH called without any password configured: this server asks for none, connect without",
    )
}

fn hello(client: &mut Client, reply: &mut Reply, asked: &Hello<'_>) -> Result<(), ServiceError> {
    match asked.version {
        Some(2 | 3) | None => {}
        Some(_) => {
            reply.error("NOPROTO", "unsupported protocol version; 2 and 3 are spoken");
            return Ok(());
        }
    }
    if asked.auth {
        return Err(no_passwords());
    }
    if let Some(name) = asked.name {
        client.name = client_name(name)?;
    }
    if let Some(version) = asked.version {
        reply.resp3 = version == 3;
    }
    reply.map(7);
    for (key, value) in [("server", "ticketd"), ("version", env!("CARGO_PKG_VERSION"))] {
        reply.bulk(key);
        reply.bulk(value);
    }
    reply.bulk("proto");
    reply.integer(if reply.resp3 { 3 } else { 2 });
    reply.bulk("id");
    reply.integer(client.id);
    for (key, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(key);
        reply.bulk(value);
    }
    reply.bulk("modules");
    reply.array(0);
    Ok(())
}

fn client_name(name: &[u8]) -> Result<String, ServiceError> {
    let printable = name.iter().all(u8::is_ascii_graphic);
    if !printable || name.len() > CLIENT_NAME_LEN_MAX {
        return Err(ServiceError::invalid(
            "Client names cannot contain spaces, newlines or special characters.",
        ));
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}

fn client_command(
    client: &mut Client,
    reply: &mut Reply,
    args: &[&[u8]],
) -> Result<(), ServiceError> {
    let word = args[0].to_ascii_lowercase();
    match (word.as_slice(), &args[1..]) {
        (b"id", []) => reply.integer(client.id),
        (b"getname", []) if client.name.is_empty() => reply.null(),
        (b"getname", []) => reply.bulk(&client.name),
        (b"setname", [name]) => {
            client.name = client_name(name)?;
            reply.ok();
        }
        (b"setinfo", [key, value]) => {
            match key.to_ascii_lowercase().as_slice() {
                b"lib-name" => client.library = client_name(value)?,
                b"lib-ver" => client.library_version = client_name(value)?,
                _ => {
                    return Err(ServiceError::invalid("Unrecognized option for CLIENT SETINFO"));
                }
            }
            reply.ok();
        }
        (b"info", []) => reply.verbatim(&client.line(reply.resp3)),
        // Each connection knows itself only; nobody needs the others to get a number.
        (b"list", _) => reply.verbatim(&format!("{}\n", client.line(reply.resp3))),
        (b"no-evict" | b"no-touch", [_]) => reply.ok(),
        (b"reply", [mode]) if mode.eq_ignore_ascii_case(b"on") => reply.ok(),
        _ => {
            let message = format!(
                "unknown subcommand or wrong number of arguments for 'client|{}'",
                word.escape_ascii()
            );
            return Err(ServiceError::invalid(message));
        }
    }
    Ok(())
}

fn command_command(reply: &mut Reply, args: &[&[u8]]) -> Result<(), ServiceError> {
    let Some((word, names)) = args.split_first() else {
        reply.array(SPECS.len());
        SPECS.iter().for_each(|spec| describe(reply, spec));
        return Ok(());
    };
    let known =
        |name: &&[u8]| SPECS.iter().find(|spec| name.eq_ignore_ascii_case(spec.name.as_bytes()));
    match word.to_ascii_lowercase().as_slice() {
        b"count" => reply.integer(SPECS.len() as u64),
        b"docs" => reply.map(0),
        b"list" => {
            reply.array(SPECS.len());
            SPECS.iter().for_each(|spec| reply.bulk(spec.name));
        }
        b"info" => {
            reply.array(names.len());
            for name in names {
                match known(name) {
                    Some(spec) => describe(reply, spec),
                    None => reply.null(),
                }
            }
        }
        _ => {
            return Err(ServiceError::invalid(
                "COMMAND knows COUNT, DOCS, INFO and LIST, or no subcommand",
            ));
        }
    }
    Ok(())
}

fn describe(reply: &mut Reply, spec: &Spec) {
    reply.array(6);
    reply.bulk(spec.name);
    reply.signed(spec.arity);
    reply.array(spec.flags.len());
    spec.flags.iter().for_each(|flag| reply.simple(flag));
    let (first, last, step) = spec.keys;
    reply.signed(first);
    reply.signed(last);
    reply.signed(step);
}

fn config_get(context: &RespContext, reply: &mut Reply, patterns: &[&[u8]]) {
    let settings = [
        ("appendfsync", "always".to_owned()),
        ("appendonly", "yes".to_owned()),
        ("databases", "1".to_owned()),
        ("maxclients", context.max_connections.to_string()),
        ("maxmemory", "0".to_owned()),
        ("proto-max-bulk-len", RESP_ARG_LEN_MAX.to_string()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ];
    let asked = |name: &str| {
        patterns.iter().any(|p| glob::matches(&p.to_ascii_lowercase(), name.as_bytes()))
    };
    let found: Vec<_> = settings.iter().filter(|(name, _)| asked(name)).collect();
    reply.map(found.len());
    for (name, value) in found {
        reply.bulk(name);
        reply.bulk(value);
    }
}

fn info(context: &RespContext, sections: &[&[u8]]) -> String {
    let all = ["everything", "all", "default"];
    let asked = |section: &str| {
        sections.is_empty()
            || sections.iter().any(|s| {
                s.eq_ignore_ascii_case(section.as_bytes())
                    || all.iter().any(|word| s.eq_ignore_ascii_case(word.as_bytes()))
            })
    };
    let service = &context.service;
    let (store, traffic) = (service.store_sizes(), &context.traffic.resp);
    let server = vec![
        ("redis_version", REDIS_VERSION.to_owned()),
        ("redis_mode", "standalone".to_owned()),
        ("ticketd_version", env!("CARGO_PKG_VERSION").to_owned()),
        ("process_id", std::process::id().to_string()),
        ("uptime_in_seconds", service.clock().uptime().as_secs().to_string()),
        ("resp_addr", context.resp_addr.clone()),
        ("http_addr", context.http_addr.clone()),
    ];
    let clients = vec![
        ("connected_clients", traffic.open().to_string()),
        ("maxclients", context.max_connections.to_string()),
    ];
    let persistence = vec![
        ("loading", "0".to_owned()),
        ("store_commits", store.commits.to_string()),
        ("store_fsyncs", store.syncs.to_string()),
    ];
    let stats = vec![
        ("total_connections_received", traffic.total().to_string()),
        ("rejected_connections", traffic.refused_total().to_string()),
    ];
    let replication = vec![("role", "master".to_owned()), ("connected_slaves", "0".to_owned())];
    let keyspace = vec![("db0", format!("keys={},expires=0,avg_ttl=0", store.sequences))];
    let mut text = String::with_capacity(RESP_WRITE_LEN / 32);
    for (section, lines) in [
        ("Server", server),
        ("Clients", clients),
        ("Persistence", persistence),
        ("Stats", stats),
        ("Replication", replication),
        ("Keyspace", keyspace),
    ] {
        if asked(section) {
            let gap = if text.is_empty() { "" } else { "\r\n" };
            write!(text, "{gap}# {section}\r\n").expect("a string takes all");
            for (key, value) in lines {
                write!(text, "{key}:{value}\r\n").expect("a string takes all");
            }
        }
    }
    text
}
