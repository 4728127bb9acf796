//! `ticketd serve`: runs the server.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ticketd_server::clock::Clock;
use ticketd_server::cluster::{Cluster, ClusterSettings, Membership};
use ticketd_server::error::ErrorKind;
use ticketd_server::server::{Server, ServerSettings};
use ticketd_server::service::{Service, ServiceSettings};
use ticketd_store::EngineStore;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::failure::Failure;
use crate::settings::{Flags, InForce, Settings, Wanted};
use crate::store_url::Opened;
use crate::{logs, open_files, output, signals};

/// How long the end waits for threads that still compute something for a client that was too slow.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// How `ticketd serve` is called.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// TOML file with settings: each flag but these two, with _ between its words, such as
    /// data_dir = "/var/lib/ticketd"
    #[arg(long, value_name = "FILE", env = "TICKETD_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,

    /// Print each setting in force and where it comes from, as a TOML file, and end
    #[arg(long)]
    print_config: bool,

    #[command(flatten)]
    flags: Flags,
}

/// Serves until a signal asks for the end.
pub fn run(args: &ServeArgs) -> Result<(), Failure> {
    // As with the settings, an empty variable counts as none.
    let config = args.config.as_deref().filter(|path| !path.as_os_str().is_empty());
    let in_force = InForce::gather(&args.flags, config)?;
    if args.print_config {
        return output::write(|out| out.write_all(in_force.to_toml().as_bytes()));
    }
    let settings = &in_force.settings;
    check_open("resp", settings.resp, settings.allow_open)?;
    check_open("http", settings.http, settings.allow_open)?;
    logs::start(&settings.log, settings.log_format);
    logs::crash_on_panic();
    open_files::make_room(settings.max_connections);
    let runtime = match workers() {
        // Without a second worker there is nobody to share tasks with, so nothing is paid for it.
        1 => Builder::new_current_thread().enable_all().build(),
        n => Builder::new_multi_thread().worker_threads(n).enable_all().build(),
    };
    let runtime = runtime.map_err(no_resources)?;
    let opened = runtime.block_on(in_force.store.open(&settings.data_dir))?;
    let sequences = opened.store().sizes().sequences;
    info!(store = %in_force.store, sequences, "the store is open");
    serve(runtime, opened, &in_force)
}

/// Threads that serve connections: one fewer than there are cores, and at least one. The last core
/// is for the kernel's side of the sockets and the store's thread; measured on two cores, a second
/// worker took a fifth more processor time for each request and answered no more of them.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

fn serve(runtime: Runtime, opened: Opened, in_force: &InForce) -> Result<(), Failure> {
    let settings = &in_force.settings;
    let held = opened.store();
    let clock = Clock::start_of_machine();
    let service = Service::new(opened.store(), service_settings(settings), clock);
    runtime.block_on(create_all(&service, &in_force.sequences))?;
    let server = runtime.block_on(Server::bind(Arc::clone(&service), server_settings(settings)));
    let server = server.map_err(|error| {
        Failure::start(format!(
            "cannot listen on {error}; stop what uses the address, or choose another with --resp \
             and --http"
        ))
    })?;
    let stop = Arc::new(Notify::new());
    let stopper = Arc::clone(&stop);
    signals::on_stop(move || stopper.notify_one()).map_err(no_resources)?;
    let membership = match opened {
        Opened::Alone(_) => None,
        Opened::Shared(store) => Some(runtime.block_on(join(&service, store, &server, settings))?),
    };
    tell_ready(&server);
    if !runtime.block_on(server.run(stop.notified(), membership)) {
        // A store that hangs would hold up its own closing too: it is left as after a crash.
        std::mem::forget(held);
        runtime.shutdown_background();
        return Err(Failure::work(
            "the stop was not clean: the store did not take back what was not issued; those IDs \
             are lost, and the next start goes on above them",
        ));
    }
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    info!("stopped");
    // Closed last, when nobody can ask it any more.
    drop(held);
    Ok(())
}

/// Joins the servers that share `store`.
async fn join(
    service: &Service,
    store: Arc<EngineStore>,
    server: &Server,
    settings: &Settings,
) -> Result<Membership, Failure> {
    let http = server.http_addr();
    let address = settings.advertise.0.clone().unwrap_or_else(|| http.to_string());
    if http.ip().is_unspecified() && settings.advertise.0.is_none() {
        return Err(Failure::start(format!(
            "other servers cannot reach {http}: say with --advertise HOST:PORT where they do"
        )));
    }
    let cluster_settings = ClusterSettings { address, lease: settings.lease.0 };
    let membership = Cluster::join(store, service.clock(), cluster_settings).await;
    let membership = membership.map_err(|error| Failure::start(error.to_failure().message))?;
    let cluster = membership.cluster();
    info!(id = %cluster.me(), cluster = cluster.store().cluster(), "joined the servers of the engine");
    service.join(cluster);
    Ok(membership)
}

/// Makes sure that the sequences which the settings file asks for are there, as it says.
async fn create_all(service: &Service, sequences: &[Wanted]) -> Result<(), Failure> {
    for Wanted { name, definition, insists, place } in sequences {
        service.create(name, *definition, *insists).await.map_err(|error| {
            let way_out = match error.kind {
                ErrorKind::Conflict => "; write down what it is, or choose another name",
                _ => "",
            };
            Failure::start(format!("{place}: {error}{way_out}"))
        })?;
    }
    Ok(())
}

/// Says where it serves, to whoever waits for that on standard output.
fn tell_ready(server: &Server) {
    let (resp, http) = (server.resp_addr(), server.http_addr());
    let mut out = std::io::stdout().lock();
    let told = writeln!(out, "ticketd ready resp={resp} http={http}").and_then(|()| out.flush());
    if let Err(error) = told {
        // Nobody reads it; the clients are served all the same.
        warn!("standard output cannot be written: {error}");
    }
    info!(%resp, %http, "ready");
}

fn check_open(key: &str, addr: SocketAddr, allow_open: bool) -> Result<(), Failure> {
    if addr.ip().to_canonical().is_loopback() || allow_open {
        return Ok(());
    }
    Err(Failure::start(format!(
        "there is no authentication yet, and others could reach {key} = {addr}; serve on a \
         loopback address such as 127.0.0.1, or say with --allow-open that it is meant"
    )))
}

fn service_settings(settings: &Settings) -> ServiceSettings {
    ServiceSettings {
        block_len: settings.block_len,
        block_len_min: settings.block_len_min,
        block_len_max: settings.block_len_max,
        auto_create: settings.auto_create,
        request_timeout: settings.request_timeout,
        snowflake: settings.snowflake(),
    }
}

fn server_settings(settings: &Settings) -> ServerSettings {
    ServerSettings {
        resp: settings.resp,
        http: settings.http,
        max_connections: settings.max_connections,
    }
}

fn no_resources(error: std::io::Error) -> Failure {
    Failure::start(format!("the system has no room for another process such as this: {error}"))
}
