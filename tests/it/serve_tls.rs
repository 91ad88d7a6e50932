//! A provider behind TLS, as all but local ones are.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use ccproxy::config::{Config, ProviderProbe};
use ccproxy::upstream::Upstream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{WantsServerCert, WebPkiClientVerifier};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::proxy::Setup;

const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/certificates/authority.pem");
pub(crate) const FAULTS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/certificates/faults_authority.pem");
pub(crate) const SERVER: &[u8] = include_bytes!("certificates/server.pem");
pub(crate) const EXPIRED: &[u8] = include_bytes!("certificates/expired.pem");
pub(crate) const EARLY: &[u8] = include_bytes!("certificates/early.pem");
pub(crate) const OTHER_NAME: &[u8] = include_bytes!("certificates/other_name.pem");
pub(crate) const SELF_MADE: &[u8] = include_bytes!("certificates/self_made.pem");
const SERVER_KEY: &[u8] = include_bytes!("certificates/server.key");

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// Calls `serve` with every connection, on a thread of its own.
fn listen(serve: impl Fn(Tls) + Send + Sync + 'static) -> SocketAddr {
    listen_with(SERVER, serve)
}

/// The same with this certificate, which is for the same key.
fn listen_with(chain: &[u8], serve: impl Fn(Tls) + Send + Sync + 'static) -> SocketAddr {
    listen_as(ServerConfig::builder().with_no_client_auth(), chain, serve)
}

/// The same, with what a client has to show.
fn listen_as(
    builder: ConfigBuilder<ServerConfig, WantsServerCert>,
    chain: &[u8],
    serve: impl Fn(Tls) + Send + Sync + 'static,
) -> SocketAddr {
    let chain = CertificateDer::pem_slice_iter(chain).map(|c| c.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_slice(SERVER_KEY).expect("a key");
    let config =
        Arc::new(builder.with_single_cert(chain, key).expect("the key is the certificate's"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            // Else the last of what is written could still wait when the socket is closed.
            socket.set_nodelay(true).expect("it is TCP");
            let connection = ServerConnection::new(Arc::clone(&config));
            let connection = connection.expect("the configuration is good");
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(StreamOwned::new(connection, socket)));
        }
    });
    address
}

fn proxy_to(address: SocketAddr) -> Setup {
    let base_url = format!("https://localhost:{}", address.port());
    Setup::at(&base_url).variable("SSL_CERT_FILE", AUTHORITY)
}

/// A server whose certificate is this, which is for the same key.
pub(crate) fn start_with(chain: &[u8]) -> SocketAddr {
    listen_with(chain, |mut stream| {
        let _ = read_request(&mut stream);
    })
}

/// Answers every request with a stream.
fn answer_all(mut stream: Tls) {
    while read_request(&mut stream).is_some() {
        let answer = format!("{CHUNKED}{:x}\r\n{EVENTS}\r\n0\r\n\r\n", EVENTS.len());
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Answers every request on every connection with a stream, and tells of each handshake.
fn start() -> (SocketAddr, mpsc::Receiver<()>) {
    let (handshakes, seen) = mpsc::channel();
    let address = listen(move |mut stream| {
        let mut told = false;
        while read_request(&mut stream).is_some() {
            if !std::mem::replace(&mut told, true) {
                let _ = handshakes.send(());
            }
            let answer = format!("{CHUNKED}{:x}\r\n{EVENTS}\r\n0\r\n\r\n", EVENTS.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    (address, seen)
}

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

const CLOSED_AT_THE_END: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

const EVENTS: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"over TLS\"}}]}\n\n\
    data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Reads a request; `None` when the connection is over.
fn read_request(stream: &mut impl Read) -> Option<()> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let (_, length) = lower.split_once("content-length: ").expect("the length is told");
            let length: usize = length.lines().next()?.parse().expect("a number");
            if body.len() >= length {
                return Some(());
            }
        }
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&buffer[..n]),
            _ => return None,
        }
    }
}

#[test]
fn the_head_of_an_answer_may_be_long_behind_tls_too() {
    let address = listen(|mut stream| {
        while read_request(&mut stream).is_some() {
            let cookies = format!("x-policy: {}\r\n", "p".repeat(1500)).repeat(40);
            let head = CHUNKED.replacen("\r\n", &format!("\r\n{cookies}"), 1);
            let answer = format!("{head}{:x}\r\n{EVENTS}\r\n0\r\n\r\n", EVENTS.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    let proxy = proxy_to(address).start();
    for _ in 0..2 {
        let mut client = Client::connect(&proxy);
        client.send_stream("hello");
        client.begin();
        assert_eq!(client.finish(), "over TLS");
    }
}

#[test]
fn a_provider_behind_tls_is_reached_and_its_connection_kept() {
    let (address, handshakes) = start();
    let proxy = proxy_to(address).start();
    for _ in 0..5 {
        let mut client = Client::connect(&proxy);
        client.send_stream("hello");
        client.begin();
        client.expect_start();
        assert_eq!(client.finish(), "over TLS");
    }
    handshakes.recv_timeout(PATIENCE).expect("the first message has a connection");
    // A message that comes before the last one's connection is free has another.
    assert!(handshakes.try_iter().count() < 4, "connections are used again");
}

/// Whether a stream of the server at `address` arrives with these settings.
fn arrives(address: SocketAddr, variables: &[(&str, &str)]) -> bool {
    let mut setup = Setup::at(&format!("https://localhost:{}", address.port()));
    for (name, value) in variables {
        setup = setup.variable(name, value);
    }
    let proxy = setup.start();
    let mut client = Client::connect(&proxy);
    client.send_stream("hello");
    let answer = client.answer();
    answer.status == 200 && answer.text().contains("over TLS")
}

/// Whether the server at `address` is there for the probe that only connects, with these settings.
fn answers_a_probe(address: SocketAddr, variables: &[(&str, &str)]) -> bool {
    let base_url = format!("https://localhost:{}", address.port());
    let own = [("CUSTOM_BASE_URL", &*base_url), ("CUSTOM_MODEL", "m"), ("CUSTOM_API_KEY", "k")];
    let env = own.iter().chain(variables).copied().collect();
    let config = Config::new(&[], &env, "localhost", None).expect("a configuration");
    let upstream = Upstream::new(&config, &config.providers[0], 1, None).expect("an upstream");
    upstream.probe(ProviderProbe::Connect).is_ok()
}

#[test]
fn a_probe_trusts_whom_a_message_trusts() {
    let address = listen(answer_all);
    assert!(answers_a_probe(address, &[("SSL_CERT_FILE", AUTHORITY)]));
    assert!(answers_a_probe(address, &[("CCPROXY_EXTRA_CA_FILE", AUTHORITY)]));
    assert!(!answers_a_probe(address, &[("SSL_CERT_FILE", FAULTS)]));
    assert!(!answers_a_probe(address, &[]));
}

#[test]
fn a_certificate_that_signed_itself_is_trusted_for_its_names_where_it_is_named() {
    let certificate =
        |name: &str| format!("{}/tests/it/certificates/{name}", env!("CARGO_MANIFEST_DIR"));
    let (own, other) = (certificate("self_made.pem"), certificate("authority.pem"));
    let address = listen_with(SELF_MADE, answer_all);
    assert!(arrives(address, &[("SSL_CERT_FILE", &own)]));
    assert!(arrives(address, &[("CCPROXY_EXTRA_CA_FILE", &own)]));
    assert!(!arrives(address, &[("SSL_CERT_FILE", &other)]), "another one is named");
    assert!(!arrives(address, &[]), "none is named");
    // It signs nothing for others.
    let stranger = listen_with(SERVER, answer_all);
    assert!(!arrives(stranger, &[("SSL_CERT_FILE", &own)]));
    // Its own names alone.
    let setup = Setup::at(&format!("https://127.0.0.1:{}", address.port()));
    let proxy = setup.variable("SSL_CERT_FILE", &own).start();
    let told = Client::fetch_message(&proxy, "hello").error(502, "api_error");
    assert!(told.contains("127.0.0.1") && told.contains("certificate"), "{told}");
}

#[test]
fn authorities_are_in_files_and_directories() {
    let address = listen(answer_all);
    let directory = std::path::Path::new(AUTHORITY).parent().and_then(|path| path.to_str());
    let directory = directory.expect("a path");
    assert!(arrives(address, &[("SSL_CERT_DIR", directory)]));
    assert!(arrives(address, &[("CCPROXY_EXTRA_CA_FILE", AUTHORITY)]));
    assert!(arrives(address, &[("SSL_CERT_FILE", FAULTS), ("CCPROXY_EXTRA_CA_FILE", AUTHORITY)]));
    for (name, value, wanted) in [
        ("SSL_CERT_FILE", "/nowhere.pem", "cannot be read"),
        ("SSL_CERT_FILE", directory, "cannot be read"),
        ("SSL_CERT_DIR", AUTHORITY, "cannot be read"),
        ("SSL_CERT_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/src"), "holds a certificate"),
        ("CCPROXY_EXTRA_CA_FILE", "/dev/null", "holds no certificate in PEM form"),
    ] {
        let run = Setup::at("https://localhost").variable(name, value).run();
        assert_eq!(run.code, Some(2), "{name}={value}: {}", run.stderr);
        assert!(run.stderr.contains(name) && run.stderr.contains(wanted), "{}", run.stderr);
    }
}

#[test]
fn a_provider_that_knows_its_clients_by_certificates_is_shown_one() {
    let mut roots = RootCertStore::empty();
    let file = |name: &str| format!("{}/tests/it/certificates/{name}", env!("CARGO_MANIFEST_DIR"));
    let (certificate, key) = (file("client.pem"), file("client.key"));
    let own = CertificateDer::from_pem_file(&certificate).expect("a certificate");
    roots.add(own).expect("it is its own authority");
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
    let builder = ServerConfig::builder().with_client_cert_verifier(verifier);
    let address = listen_as(builder, SERVER, answer_all);
    let trust = ("SSL_CERT_FILE", AUTHORITY);
    let own = [("CUSTOM_CLIENT_CERT", &*certificate), ("CUSTOM_CLIENT_KEY", &*key)];
    assert!(arrives(address, &[trust, own[0], own[1]]));
    assert!(!arrives(address, &[trust]));
    assert!(answers_a_probe(address, &[trust, own[0], own[1]]));
    for (variables, wanted) in [
        ([own[0], trust], "CUSTOM_CLIENT_CERT: it needs its key too"),
        ([own[1], trust], "CUSTOM_CLIENT_KEY: it needs its certificate too"),
        ([own[0], ("CUSTOM_CLIENT_KEY", AUTHORITY)], "holds no private key in PEM form"),
        ([("CUSTOM_CLIENT_CERT", AUTHORITY), own[1]], "is not the key of CUSTOM_CLIENT_CERT"),
    ] {
        let mut setup = Setup::at("https://localhost");
        for (name, value) in variables {
            setup = setup.variable(name, value);
        }
        let run = setup.run();
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains(wanted), "{}", run.stderr);
    }
}

#[test]
fn an_unknown_authority_is_not_trusted() {
    let (address, _handshakes) = start();
    let proxy = Setup::at(&format!("https://localhost:{}", address.port())).start();
    let told = Client::fetch_message(&proxy, "hello").error(502, "api_error");
    assert!(told.contains("certificate"), "{told}");
}

#[test]
fn a_stream_that_is_cut_without_a_goodbye_is_no_finished_one() {
    let half = &EVENTS[..EVENTS.find("\n\n").expect("an end") + 2];
    let whole = format!("{CHUNKED}{:x}\r\n{EVENTS}\r\n0\r\n\r\n", EVENTS.len());
    for (answer, wanted) in [
        (whole, "message_stop"),
        (format!("{CLOSED_AT_THE_END}{EVENTS}"), "message_stop"),
        (format!("{CLOSED_AT_THE_END}{half}"), "error"),
        (format!("{CHUNKED}{:x}\r\n{half}\r\n", half.len()), "error"),
    ] {
        let sent = answer.clone();
        let address = listen(move |mut stream| {
            if read_request(&mut stream).is_some() {
                stream.write_all(sent.as_bytes()).expect("it is taken");
            }
        });
        let proxy = proxy_to(address).start();
        let mut client = Client::connect(&proxy);
        client.send_stream("hello");
        client.begin();
        let events = client.events();
        assert_eq!(events.last().map(|event| &*event.name), Some(wanted), "{answer}");
    }
}

#[test]
fn a_record_that_is_none_breaks_the_stream_off() {
    let half = &EVENTS[..EVENTS.find("\n\n").expect("an end") + 2];
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let address = listen(move |mut stream| {
        if read_request(&mut stream).is_some() {
            let answer = format!("{CHUNKED}{:x}\r\n{half}\r\n", half.len());
            stream.write_all(answer.as_bytes()).expect("it is taken");
            let waited = wait.lock().expect("one waits").recv_timeout(PATIENCE);
            waited.expect("the client has read");
            stream
                .sock
                .write_all(b"\x17\x03\x03\x00\x14it is not encrypted.")
                .expect("it is taken");
        }
    });
    let proxy = proxy_to(address).start();
    let mut client = Client::connect(&proxy);
    client.send_stream("hello");
    client.begin();
    assert_eq!(client.text(), "over TLS");
    go_on.send(()).expect("the provider waits");
    let (kind, told) = client.fail();
    assert_eq!(kind, "api_error", "{told}");
}

#[test]
fn a_whole_message_needs_its_length_or_a_goodbye() {
    const MESSAGE: &str = r#"{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}"#;
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let length = format!("{HEAD}Content-Length: {}\r\n\r\n{MESSAGE}", MESSAGE.len());
    let chunked = format!(
        "{HEAD}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{MESSAGE}\r\n0\r\n\r\n",
        MESSAGE.len()
    );
    let closed = format!("{HEAD}\r\n{MESSAGE}");
    // A document that is closed is whole without either; one that is not may have been cut by anybody.
    let cut = closed.strip_suffix('}').expect("it ends so").to_owned();
    for (answer, says_goodbye, is_whole) in [
        (length, false, true),
        (chunked, false, true),
        (closed.clone(), true, true),
        (closed, false, true),
        (cut, false, false),
    ] {
        let sent = answer.clone();
        let address = listen(move |mut stream| {
            if read_request(&mut stream).is_some() {
                stream.write_all(sent.as_bytes()).expect("it is taken");
                if says_goodbye {
                    stream.conn.send_close_notify();
                    stream.flush().expect("it is taken");
                }
            }
        });
        let told = Client::fetch_message(&proxy_to(address).start(), "hello");
        if is_whole {
            assert_eq!(told.message(), "hello", "{answer}");
        } else {
            told.error(502, "api_error");
        }
    }
}

#[test]
fn an_answer_that_comes_while_the_request_is_sent_is_told_behind_tls_too() {
    for length in [300_000, 8_000_000] {
        for closes in [true, false] {
            let (held, holder) = mpsc::channel();
            let address = listen(move |mut stream| {
                // The handshake, and the beginning of the request.
                let _ = stream.read(&mut [0; 100]).expect("a request");
                let body = r#"{"error":{"message":"the limit is 100 KB"}}"#;
                let head = "HTTP/1.1 413 Content Too Large\r\nContent-Length";
                let answer = format!("{head}: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).expect("it is taken");
                if !closes {
                    held.send(stream).expect("somebody waits for it");
                }
            });
            let proxy = proxy_to(address).start();
            let told = Client::fetch_message(&proxy, &"a ".repeat(length / 2));
            let told = told.error(413, "request_too_large");
            assert_eq!(told, "custom: the limit is 100 KB", "{length}, closed: {closes}");
            drop(holder);
        }
    }
}
