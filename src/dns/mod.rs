//! Names looked up by ourselves, where the C library is musl.
//!
//! In an image made from scratch the library is musl's, and its resolver gives up where glibc's,
//! which curl beside it has, goes on: when a search domain answers without addresses, SERVFAIL or
//! REFUSED, or when a server fails on AAAA alone (RFC 4074). No setting of it helps, and the
//! resolvers that crates offer want an async runtime that is larger than this program. So the
//! questions of RFC 1035 are asked here: A and AAAA beside each other, the servers one shortly
//! after another, over TCP where an answer was cut, and each whole name that a search list makes
//! until one has an address.

mod files;
mod packet;

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::os::{poll, poll_fd};
use files::ResolvConf;
use packet::{Answer, Kind};

/// When the next server is asked beside those that have not answered.
const STAGGER: Duration = Duration::from_millis(300);

/// When a question that may be lost is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// How long the other kind of address is waited for: RFC 8305, 3 has 50 ms.
const GRACE: Duration = Duration::from_millis(150);

/// How long one of several whole names is asked for, and how long all of them are.
const PATIENCE: Duration = Duration::from_millis(2500);
const LIMIT: Duration = Duration::from_secs(10);

/// The addresses of `host`, those first that are most likely reached.
///
/// The files are read each time, so what changes in them while the program runs is seen.
///
/// # Errors
/// That nobody knows the name, or that no server could say, and what it said; in the words that
/// getaddrinfo(3) has for it, since other builds get them from there.
pub(crate) fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let mut found = files::of_hosts(&read("/etc/hosts"), host);
    let bare = host.trim_end_matches('.').to_ascii_lowercase();
    if found.is_empty() && (bare == "localhost" || bare.ends_with(".localhost")) {
        // RFC 6761, 6.3: it is never asked for.
        found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    if found.is_empty() {
        let index_of =
            |name: &str| read(&format!("/sys/class/net/{name}/ifindex")).trim().parse().ok();
        found = search(&ResolvConf::parse(&read("/etc/resolv.conf"), index_of), host)?;
    }
    Ok(in_order(found))
}

/// A file's text; nothing where there is none, as in an image that holds one file.
fn read(path: &str) -> String {
    fs::read(path).map_or(String::new(), |text| String::from_utf8_lossy(&text).into_owned())
}

/// Addresses of the sixth version first if there is a way to them, else last.
fn in_order(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let has_way = |address: IpAddr| {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        // It only chooses a route; nothing is sent.
        UdpSocket::bind(any).and_then(|socket| socket.connect((address, 9))).is_ok()
    };
    addresses.sort_by_cached_key(|address| match address {
        IpAddr::V6(_) if has_way(*address) => 0,
        IpAddr::V4(_) => 1,
        IpAddr::V6(_) => 2,
    });
    addresses
}

/// Why there are no addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NoAddress {
    NoName,
    /// Who said what.
    Passing(String),
}

/// Asks for the whole names that `host` may stand for, until one has an address.
fn search(conf: &ResolvConf, host: &str) -> io::Result<Vec<IpAddr>> {
    let until = Instant::now() + LIMIT;
    let mut failure = NoAddress::NoName;
    for name in conf.candidates(host) {
        let patience = (Instant::now() + PATIENCE).min(until);
        match ask(&conf.servers, &name, patience) {
            Ok(addresses) => return Ok(addresses),
            // What a search domain says of it is not what is said of the name itself.
            Err(told) if name == host => failure = told,
            Err(_) => {}
        }
    }
    let words = match failure {
        NoAddress::NoName => "Name does not resolve".to_owned(),
        NoAddress::Passing(why) => format!("Try again: {why}"),
    };
    let words = format!("failed to lookup address information: {words}");
    Err(io::Error::new(ErrorKind::NotFound, words))
}

/// Asks for the addresses of the whole name `name`.
fn ask(servers: &[SocketAddr], name: &str, until: Instant) -> Result<Vec<IpAddr>, NoAddress> {
    let packet = |kind| packet::question(random(), name, kind).ok_or(NoAddress::NoName);
    let mut race = Race {
        servers,
        packets: [packet(Kind::A)?, packet(Kind::Aaaa)?],
        said: [None, None],
        asked: Vec::new(),
        last: until,
    };
    let mut next = Instant::now();
    while race.said.iter().any(Option::is_none) && Instant::now() < race.last {
        if Instant::now() >= next {
            race.ask_another();
            let is_last = race.asked.len() == servers.len();
            next = Instant::now() + if is_last { AGAIN } else { STAGGER };
        }
        wait(&race.asked, race.last.min(next));
        if race.hear() {
            next = Instant::now();
        }
    }
    race.end()
}

/// One name, asked for at several servers.
struct Race<'a> {
    servers: &'a [SocketAddr],
    /// The questions, for A and for AAAA, and what is said to each.
    packets: [Vec<u8>; 2],
    said: [Option<Result<Vec<IpAddr>, NoAddress>>; 2],
    asked: Vec<Asked>,
    last: Instant,
}

/// A server that was asked.
struct Asked {
    server: SocketAddr,
    /// Without one it could not be asked.
    socket: Option<UdpSocket>,
    /// Whether it may still answer the questions.
    may_answer: [bool; 2],
}

impl Race<'_> {
    /// Asks the next server, or all of them again.
    fn ask_another(&mut self) {
        let first = match self.servers.get(self.asked.len()) {
            None => 0,
            Some(&server) => {
                let socket = connected(server);
                let problem = socket.as_ref().err().map(|e| format!("{}: {e}", server.ip()));
                self.asked.push(Asked { server, socket: socket.ok(), may_answer: [true; 2] });
                let at = self.asked.len() - 1;
                if let Some(problem) = problem {
                    self.fail(at, [true; 2], &problem);
                }
                at
            }
        };
        for asked in &self.asked[first..] {
            for (packet, said) in self.packets.iter().zip(&self.said) {
                if let (Some(socket), None) = (&asked.socket, said) {
                    // That nobody is there shows when it is listened to.
                    let _ = socket.send(packet);
                }
            }
        }
    }

    /// Takes what has come. Returns whether a server has failed before the next one was asked.
    fn hear(&mut self) -> bool {
        let mut buffer = vec![0; 4096];
        let mut has_failed = false;
        for at in 0..self.asked.len() {
            while let Some(socket) = &self.asked[at].socket {
                let ip = self.asked[at].server.ip();
                match socket.recv(&mut buffer) {
                    Ok(size) => has_failed |= self.take(at, &buffer[..size]),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => {
                        self.asked[at].socket = None;
                        has_failed |= self.fail(at, [true; 2], &format!("{ip}: {e}"));
                    }
                }
            }
        }
        has_failed
    }

    /// Takes a packet of the server at `at`. Returns whether the server failed by it.
    fn take(&mut self, at: usize, packet: &[u8]) -> bool {
        let server = self.asked[at].server;
        let is_for = |question: &Vec<u8>| packet::answer(packet, question);
        let heard = self.packets.iter().map(is_for).enumerate().find_map(|(i, a)| Some((i, a?)));
        let Some((i, answer)) = heard.filter(|(i, _)| self.said[*i].is_none()) else {
            return false;
        };
        let whole = match answer {
            Answer::Truncated => over_tcp(server, &self.packets[i], self.last),
            answer => Ok(answer),
        };
        let which = std::array::from_fn(|kind| kind == i);
        match whole {
            Ok(Answer::Addresses(addresses)) => {
                if !addresses.is_empty() {
                    self.last = self.last.min(Instant::now() + GRACE);
                }
                self.said[i] = Some(Ok(addresses));
                false
            }
            Ok(Answer::NoName) => {
                self.said[i] = Some(Err(NoAddress::NoName));
                false
            }
            Ok(Answer::Failed(code)) => {
                let code = match code {
                    2 => "SERVFAIL".to_owned(),
                    5 => "REFUSED".to_owned(),
                    code => format!("with the error {code}"),
                };
                self.fail(at, which, &format!("{} answers {code}", server.ip()))
            }
            Ok(Answer::Truncated) => {
                self.fail(at, which, &format!("{} cuts its answers short", server.ip()))
            }
            Err(e) => self.fail(at, which, &format!("{}, over TCP: {e}", server.ip())),
        }
    }

    /// The server at `at` cannot say. Returns whether another one is to be asked in its place.
    fn fail(&mut self, at: usize, which: [bool; 2], why: &str) -> bool {
        let are_all_asked = self.asked.len() == self.servers.len();
        for (kind, _) in which.iter().enumerate().filter(|(_, is)| **is) {
            self.asked[at].may_answer[kind] = false;
            let is_hopeless = self.asked.iter().all(|asked| !asked.may_answer[kind]);
            if are_all_asked && is_hopeless && self.said[kind].is_none() {
                self.said[kind] = Some(Err(NoAddress::Passing(why.to_owned())));
            }
        }
        !are_all_asked
    }

    /// What both answers come to.
    fn end(self) -> Result<Vec<IpAddr>, NoAddress> {
        let mut addresses = Vec::new();
        let mut failure = None;
        for said in self.said {
            match said {
                Some(Ok(more)) => addresses.extend(more),
                // A server that fails on one kind knows the name no less for that.
                Some(Err(NoAddress::NoName)) => failure = Some(NoAddress::NoName),
                Some(Err(passing)) => failure = failure.or(Some(passing)),
                None => {
                    let who: Vec<String> =
                        self.servers.iter().map(|server| server.ip().to_string()).collect();
                    let why = format!("no answer from {}", who.join(", "));
                    failure = failure.or(Some(NoAddress::Passing(why)));
                }
            }
        }
        if addresses.is_empty() { Err(failure.unwrap_or(NoAddress::NoName)) } else { Ok(addresses) }
    }
}

/// A socket that hears this server alone. Its port is one that nobody can guess.
fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr =
        if server.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Waits until something has come, or for so long.
fn wait(asked: &[Asked], until: Instant) {
    let sockets = asked.iter().filter_map(|asked| asked.socket.as_ref());
    let mut fds: Vec<_> = sockets.map(|socket| poll_fd(socket.as_raw_fd(), libc::POLLIN)).collect();
    // Where it fails, what has come is looked for all the same.
    let _ = poll(&mut fds, Some(until));
}

/// Asks over TCP, where an answer has room; RFC 1035, 4.2.2.
fn over_tcp(server: SocketAddr, question: &[u8], until: Instant) -> io::Result<Answer> {
    let left = || {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::from(ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let mut stream = TcpStream::connect_timeout(&server, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    let size = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&size.to_be_bytes(), question].concat())?;
    let mut size = [0; 2];
    stream.set_read_timeout(Some(left()?))?;
    stream.read_exact(&mut size)?;
    let mut packet = vec![0; usize::from(u16::from_be_bytes(size))];
    stream.set_read_timeout(Some(left()?))?;
    stream.read_exact(&mut packet)?;
    packet::answer(&packet, question)
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it answers something else"))
}

/// A number that nobody can guess: hashes have keys that the system drew.
fn random() -> u16 {
    RandomState::new().build_hasher().finish() as u16
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// What a server says to a name and kind: the code of the answer, the addresses of the first
    /// kind; nothing at all.
    type Policy = fn(&str, u16, bool) -> Option<(u16, bool)>;

    const NOERROR: u16 = 0x8180;
    const SERVFAIL: u16 = 0x8182;
    const NXDOMAIN: u16 = 0x8183;
    const REFUSED: u16 = 0x8185;
    const TRUNCATED: u16 = 0x8380;
    const A: u16 = 1;

    /// Answers `question`, which came over UDP or TCP, as `policy` has it.
    fn answer(question: &[u8], over_udp: bool, policy: Policy) -> Option<Vec<u8>> {
        let (mut at, mut name) = (12, String::new());
        while question[at] > 0 {
            let size = usize::from(question[at]);
            name += &format!("{}.", String::from_utf8_lossy(&question[at + 1..at + 1 + size]));
            at += 1 + size;
        }
        let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
        let (flags, has_address) = policy(&name, kind, over_udp)?;
        let mut packet = question[..2].to_vec();
        for word in [flags, 1, u16::from(has_address), 0, 0] {
            packet.extend(word.to_be_bytes());
        }
        packet.extend(&question[12..]);
        if has_address {
            packet.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x7f\x00\x00\x07");
        }
        Some(packet)
    }

    /// A server of names on a port of its own, over UDP and TCP, until it is dropped.
    struct Server {
        address: SocketAddr,
        names: mpsc::Receiver<String>,
    }

    impl Server {
        fn start(policy: Policy) -> Server {
            // A port that is free for both.
            let (udp, tcp) = std::iter::repeat_with(|| {
                let udp = UdpSocket::bind("127.0.0.1:0").ok()?;
                let tcp = TcpListener::bind(udp.local_addr().ok()?).ok()?;
                Some((udp, tcp))
            })
            .take(100)
            .find_map(|both| both)
            .unwrap();
            let address = udp.local_addr().unwrap();
            let (sender, names) = mpsc::channel();
            thread::spawn(move || {
                let mut buffer = [0; 512];
                // Nobody asks any more after so long.
                udp.set_read_timeout(Some(LIMIT * 2)).unwrap();
                while let Ok((size, peer)) = udp.recv_from(&mut buffer) {
                    let question = &buffer[..size];
                    let _ = sender.send(String::from_utf8_lossy(&question[12..]).into_owned());
                    if let Some(packet) = answer(question, true, policy) {
                        let _ = udp.send_to(&packet, peer);
                    }
                }
            });
            thread::spawn(move || {
                while let Ok((mut stream, _)) = tcp.accept() {
                    let mut size = [0; 2];
                    stream.read_exact(&mut size).unwrap();
                    let mut question = vec![0; usize::from(u16::from_be_bytes(size))];
                    stream.read_exact(&mut question).unwrap();
                    let packet = answer(&question, false, policy).unwrap();
                    let size = (packet.len() as u16).to_be_bytes();
                    stream.write_all(&[&size[..], &packet].concat()).unwrap();
                }
            });
            Server { address, names }
        }
    }

    fn conf(servers: &[SocketAddr], search: &[&str]) -> ResolvConf {
        let search = search.iter().map(|domain| (*domain).to_owned()).collect();
        ResolvConf { servers: servers.to_vec(), search, dots: 5 }
    }

    fn found(conf: &ResolvConf, host: &str) -> Result<String, String> {
        let found = search(conf, host).map_err(|e| e.to_string())?;
        Ok(found.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "))
    }

    /// A search domain that says `said`, and the name itself, which has an address.
    macro_rules! domain {
        ($said:expr) => {
            |name, kind, _| match name {
                "api.test." => Some((NOERROR, kind == A)),
                _ => Some(($said, false)),
            }
        };
    }

    #[test]
    fn whatever_a_search_domain_says_the_name_is_found() {
        let policies: [Policy; 4] =
            [domain!(NXDOMAIN), domain!(NOERROR), domain!(SERVFAIL), domain!(REFUSED)];
        for (i, policy) in policies.into_iter().enumerate() {
            let server = Server::start(policy);
            let conf = conf(&[server.address], &["a.example", "b.example"]);
            assert_eq!(found(&conf, "api.test"), Ok("127.0.0.7".to_owned()), "{i}");
            let asked: Vec<String> = server.names.try_iter().collect();
            assert!(asked[0].starts_with("\x03api\x04test\x01a\x07example"), "{asked:?}");
            assert_eq!(found(&conf, "api.test."), Ok("127.0.0.7".to_owned()), "{i}");
            assert_eq!(server.names.try_iter().count(), 2, "{i}: a whole name is asked for alone");
        }
    }

    #[test]
    fn a_server_that_fails_on_one_kind_of_address_has_the_other() {
        let policies: [Policy; 4] = [
            |_, kind, _| Some(if kind == A { (NOERROR, true) } else { (SERVFAIL, false) }),
            |_, kind, _| Some(if kind == A { (NOERROR, true) } else { (NXDOMAIN, false) }),
            |_, kind, _| Some(if kind == A { (NOERROR, true) } else { (REFUSED, false) }),
            // It never answers.
            |_, kind, _| (kind == A).then_some((NOERROR, true)),
        ];
        for (i, policy) in policies.into_iter().enumerate() {
            let server = Server::start(policy);
            let told = found(&conf(&[server.address], &[]), "api.test");
            assert_eq!(told, Ok("127.0.0.7".to_owned()), "{i}");
        }
    }

    #[test]
    fn an_answer_that_is_too_long_is_fetched_over_tcp() {
        let server = Server::start(|_, kind, over_udp| {
            Some(if over_udp { (TRUNCATED, false) } else { (NOERROR, kind == A) })
        });
        let told = found(&conf(&[server.address], &[]), "api.test");
        assert_eq!(told, Ok("127.0.0.7".to_owned()));
    }

    #[test]
    fn the_next_server_answers_for_one_that_is_dead_or_silent_or_refuses() {
        let good = Server::start(|_, kind, _| Some((NOERROR, kind == A)));
        let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let silent = Server::start(|_, _, _| None);
        let refusing = Server::start(|_, _, _| Some((REFUSED, false)));
        for first in [dead, silent.address, refusing.address] {
            let told = found(&conf(&[first, good.address], &[]), "api.test");
            assert_eq!(told, Ok("127.0.0.7".to_owned()), "{first}");
        }
    }

    #[test]
    fn what_cannot_be_found_is_told_apart_from_who_cannot_say() {
        let check = |policy: Policy, wanted: &str| {
            let server = Server::start(policy);
            let told = found(&conf(&[server.address], &["a.example"]), "api.test").unwrap_err();
            assert_eq!(told, format!("failed to lookup address information: {wanted}"));
        };
        check(|_, _, _| Some((NXDOMAIN, false)), "Name does not resolve");
        check(|_, _, _| Some((NOERROR, false)), "Name does not resolve");
        check(|_, _, _| Some((SERVFAIL, false)), "Try again: 127.0.0.1 answers SERVFAIL");
        check(
            |name, _, _| Some((if name == "api.test." { REFUSED } else { NXDOMAIN }, false)),
            "Try again: 127.0.0.1 answers REFUSED",
        );
        // A search domain that is broken hides no name that is not there.
        check(
            |name, _, _| Some((if name == "api.test." { NXDOMAIN } else { SERVFAIL }, false)),
            "Name does not resolve",
        );
        check(|_, _, _| None, "Try again: no answer from 127.0.0.1");
    }

    #[test]
    fn loopback_names_are_asked_of_nobody() {
        let all = look_up("a.localhost.").unwrap();
        assert!(all.contains(&Ipv4Addr::LOCALHOST.into()), "{all:?}");
    }
}
