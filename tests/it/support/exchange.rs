//! A message on its way: the provider that the test plays, the program, and the client that has asked.

use crate::support::client::Client;
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Connection, Upstream};

/// A provider and a proxy that asks it.
pub(crate) fn start() -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    (upstream, proxy)
}

/// A client that has asked for a stream, and the provider's connection with the request read.
pub(crate) fn begin_stream(upstream: &Upstream, proxy: &Proxy) -> (Client, Connection) {
    let mut client = Client::connect(proxy);
    client.send_stream("hello");
    let mut connection = upstream.accept();
    assert_eq!(connection.request().body["stream"], true);
    (client, connection)
}

/// The same for a whole answer.
pub(crate) fn begin_whole(upstream: &Upstream, proxy: &Proxy) -> (Client, Connection) {
    let mut client = Client::connect(proxy);
    client.send_whole("hello");
    let mut connection = upstream.accept();
    connection.request();
    (client, connection)
}

/// The same for either.
pub(crate) fn begin(upstream: &Upstream, proxy: &Proxy, stream: bool) -> (Client, Connection) {
    if stream { begin_stream(upstream, proxy) } else { begin_whole(upstream, proxy) }
}

/// How a provider breaks off.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Close,
    Reset,
}

impl End {
    pub(crate) fn of(self, connection: Connection) {
        match self {
            End::Close => connection.wire.close(),
            End::Reset => connection.wire.reset(),
        }
    }
}
