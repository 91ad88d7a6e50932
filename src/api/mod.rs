//! The HTTP API: a thread-pool server on tiny_http.
//!
//! Health and status are answered in the thread that receives requests; everything else goes to a
//! pool of workers, since it may block.

mod access;
mod client;
mod messages;
mod models;
mod pool;
mod reply;
mod route;
mod status;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tiny_http::{Request, Server};

use crate::config::{Config, Host};
use crate::error::Error;
use crate::upstream::Upstream;
use pool::Pool;
use reply::Reply;
use route::Route;

/// Connections that wait to be accepted, at most.
const BACKLOG: i32 = 1024;

/// The largest body that tiny_http has read before a request is received: dropping such a request
/// never waits for its client.
const PREREAD_BYTES: usize = 1024;

/// What every request shares.
pub struct Api {
    config: Config,
    upstream: Upstream,
    models: Vec<crate::anthropic::Model>,
    in_flight: AtomicUsize,
    draining: AtomicBool,
}

/// A running server.
pub struct Running {
    api: Arc<Api>,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
}

/// Binds and starts to serve.
///
/// # Errors
/// A sentence about the address that cannot be listened on.
pub fn start(config: Config, upstream: Upstream) -> Result<Running, String> {
    let listeners = listen(config.host, config.port)?;
    let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    let pool = Arc::new(Pool::new(config.max_in_flight));
    let api = Arc::new(Api {
        models: models::list(&config),
        config,
        upstream,
        in_flight: AtomicUsize::new(0),
        draining: AtomicBool::new(false),
    });
    for listener in listeners {
        let server = Server::from_listener(listener, None)
            .map_err(|e| format!("the server could not be started: {e}"))?;
        let (api, pool) = (Arc::clone(&api), Arc::clone(&pool));
        thread::Builder::new()
            .name("receive".to_owned())
            .spawn(move || receive(&server, &api, &pool))
            .map_err(|e| format!("the server could not be started: {e}"))?;
    }
    Ok(Running { api, addresses })
}

impl Running {
    /// Answers 503 on the health paths from now on, and waits for the answers in progress, but not
    /// longer than `timeout`. Returns how many are left.
    pub fn drain(&self, timeout: Duration) -> usize {
        self.api.draining.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + timeout;
        loop {
            let left = self.api.in_flight.load(Ordering::Relaxed);
            if left == 0 || Instant::now() >= deadline {
                return left;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Receives requests for ever.
fn receive(server: &Server, api: &Arc<Api>, pool: &Pool) {
    loop {
        let request = match server.recv() {
            Ok(request) => request,
            Err(e) => {
                log::error!("receiving failed: {e}");
                continue;
            }
        };
        let route = route::find(request.method(), request.url());
        if let Route::Health(health) = route
            && !may_block(&request)
        {
            guarded(|| status::answer(api, health, Reply::new(request)));
        } else {
            let api = Arc::clone(api);
            let refused = pool.run(move || guarded(|| serve(&api, request)));
            if refused {
                log::warn!("a request was dropped: no thread could be started for it");
            }
        }
    }
}

/// Whether answering could wait for the client to send a body.
fn may_block(request: &Request) -> bool {
    request.body_length().is_some_and(|length| length > PREREAD_BYTES)
        || request
            .headers()
            .iter()
            .any(|h| h.field.equiv("Transfer-Encoding") || h.field.equiv("Expect"))
}

/// Keeps a panic to the request that met it. The reply, when dropped, tells the client.
fn guarded(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        log::error!("a request met a bug in ccproxy and was answered with an error");
    }
}

/// Answers any request.
fn serve(api: &Api, request: Request) {
    let route = route::find(request.method(), request.url());
    let mut reply = Reply::new_for(&request);
    if let Err(error) = access::check(api, &request, &route, &mut reply) {
        reply.take_from(request);
        return reply.error(&error);
    }
    match route {
        Route::Health(health) => status::answer(api, health, reply.with(request)),
        Route::Preflight => reply.with(request).preflight(),
        Route::Hello => reply.with(request).json(200, b"{}"),
        Route::Models => models::answer_list(api, reply.with(request)),
        Route::Model(id) => models::answer_one(api, &id, reply.with(request)),
        Route::Messages => messages::answer(api, request, reply),
        Route::CountTokens => messages::count_tokens(api, request, reply),
        Route::WrongMethod(allow) => {
            let reason = format!("{} is not allowed here; use {allow}", request.method());
            let reply = reply.with(request);
            reply.error_with(&Error::Refused { status: 405, reason }, &[("Allow", allow)]);
        }
        Route::Unknown => {
            let path = request.url().split('?').next().unwrap_or_default();
            let reason = format!("{path:?} is not a path of this API");
            reply.with(request).error(&Error::Refused { status: 404, reason });
        }
    }
}

/// Opens the sockets to listen on.
fn listen(host: Host, port: u16) -> Result<Vec<TcpListener>, String> {
    let on = |address: IpAddr, port: u16| {
        let address = SocketAddr::new(address, port);
        bind(address).map_err(|e| bind_problem(address, &e))
    };
    match host {
        Host::Address(address) => Ok(vec![on(address, port)?]),
        Host::Localhost => {
            let v4 = on(Ipv4Addr::LOCALHOST.into(), port)?;
            let port = v4.local_addr().map_err(|e| e.to_string())?.port();
            let v6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port);
            match bind(v6) {
                Ok(v6) => Ok(vec![v4, v6]),
                // A machine without IPv6 has one loopback.
                Err(e) if e.kind() != io::ErrorKind::AddrInUse => Ok(vec![v4]),
                Err(e) => Err(bind_problem(v6, &e)),
            }
        }
    }
}

fn bind_problem(address: SocketAddr, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there; stop it, or choose another port with --port or SERVER_PORT"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege; choose another with --port or SERVER_PORT"
        }
        _ => "check --host or SERVER_HOST",
    };
    format!("cannot listen on {address}: {error}; {hint}")
}

/// A listener whose connections inherit its options. `::` also takes IPv4.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let unspecified = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let socket = match Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
    {
        Err(_) if unspecified => {
            // No IPv6 here at all: every address means every IPv4 address.
            return bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()));
        }
        other => other?,
    };
    if address.is_ipv6() {
        socket.set_only_v6(!unspecified)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    socket.set_tcp_keepalive(&keepalive)?;
    match socket.bind(&address.into()) {
        Err(e) if unspecified && e.kind() == io::ErrorKind::AddrNotAvailable => {
            return bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()));
        }
        other => other?,
    }
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
