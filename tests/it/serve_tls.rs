//! A provider behind TLS, as all but local ones are.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::proxy::Setup;

const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/certificates/authority.pem");
const SERVER: &[u8] = include_bytes!("certificates/server.pem");
const SERVER_KEY: &[u8] = include_bytes!("certificates/server.key");

/// Answers every request on every connection with a stream, and tells of each handshake.
fn start() -> (SocketAddr, mpsc::Receiver<()>) {
    let chain = CertificateDer::pem_slice_iter(SERVER).map(|c| c.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_slice(SERVER_KEY).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let config = Arc::new(config.expect("the key is the certificate's"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (handshakes, seen) = mpsc::channel();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (config, handshakes) = (Arc::clone(&config), handshakes.clone());
            thread::spawn(move || serve(socket, config, &handshakes));
        }
    });
    (address, seen)
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>, handshakes: &mpsc::Sender<()>) {
    let connection = ServerConnection::new(config).expect("the configuration is good");
    let mut stream = StreamOwned::new(connection, socket);
    let mut told = false;
    while read_request(&mut stream).is_some() {
        if !std::mem::replace(&mut told, true) {
            let _ = handshakes.send(());
        }
        let events = "data: {\"choices\":[{\"delta\":{\"content\":\"over TLS\"}}]}\n\n\
             data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{events}\r\n0\r\n\r\n",
            events.len()
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

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
fn a_provider_behind_tls_is_reached_and_its_connection_kept() {
    let (address, handshakes) = start();
    let proxy = Setup::at(&format!("https://localhost:{}", address.port()))
        .variable("SSL_CERT_FILE", AUTHORITY)
        .start();
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

#[test]
fn an_unknown_authority_is_not_trusted() {
    let (address, _handshakes) = start();
    let proxy = Setup::at(&format!("https://localhost:{}", address.port())).start();
    let told = Client::fetch_message(&proxy, "hello").error(529, "overloaded_error");
    assert!(told.contains("certificate"), "{told}");
}
