//! One question to the servers in their order, over UDP, and over TCP where an answer does not fit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::config::ResolvConf;
use crate::sys::random_bytes;

/// For one server; three servers with two questions each stay within one look.
const TIMEOUT: Duration = Duration::from_millis(1500);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Addresses(Vec<IpAddr>),
    NoSuchName,
    /// The name is there, but has no address.
    NoAddress,
    Failed(String),
    /// No server answered.
    Silent,
}

/// The answer of the first server that has one, and its address.
pub(super) async fn ask(config: &ResolvConf, name: &str) -> (Answer, String) {
    let mut last = (Answer::Silent, String::new());
    for server in &config.servers {
        let asked = async {
            match ask_for(*server, name, TYPE::A).await? {
                Answer::NoAddress => ask_for(*server, name, TYPE::AAAA).await,
                answer => Ok(answer),
            }
        };
        match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(answer @ (Answer::Addresses(_) | Answer::NoSuchName | Answer::NoAddress))) => {
                return (answer, server.ip().to_string());
            }
            Ok(Ok(answer)) => last = (answer, server.ip().to_string()),
            Ok(Err(error)) => last = (Answer::Failed(error.to_string()), server.ip().to_string()),
            Err(_) => {}
        }
    }
    last
}

async fn ask_for(server: SocketAddr, name: &str, kind: TYPE) -> io::Result<Answer> {
    let id = u16::from_ne_bytes(random_bytes());
    let question = build(id, name, kind).map_err(io::Error::other)?;
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    // Connected: only the server's own datagrams come through.
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut datagram = [0; 1500];
    loop {
        let count = socket.recv(&mut datagram).await?;
        match read(&datagram[..count], id, name, kind) {
            // Not the answer to this question: somebody guesses, or an old one.
            None => {}
            Some(Read::Whole(answer)) => return Ok(answer),
            Some(Read::Cut) => return ask_by_stream(server, &question, id, name, kind).await,
        }
    }
}

async fn ask_by_stream(
    server: SocketAddr,
    question: &[u8],
    id: u16,
    name: &str,
    kind: TYPE,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    match read(&message, id, name, kind) {
        Some(Read::Whole(answer)) => Ok(answer),
        _ => Err(io::Error::other("the answer by TCP cannot be read")),
    }
}

fn build(id: u16, name: &str, kind: TYPE) -> simple_dns::Result<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(Name::new(name)?, kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec()
}

#[derive(Debug, PartialEq, Eq)]
enum Read {
    Whole(Answer),
    /// The rest comes over TCP only.
    Cut,
}

/// None for what is no answer to this very question.
fn read(message: &[u8], id: u16, name: &str, kind: TYPE) -> Option<Read> {
    let packet = Packet::parse(message).ok()?;
    let [question] = packet.questions.as_slice() else { return None };
    let asked = question.qname.to_string().eq_ignore_ascii_case(name) && question.qtype == kind.into();
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) || !asked {
        return None;
    }
    let addresses: Vec<IpAddr> = packet
        .answers
        .iter()
        .filter_map(|record| match &record.rdata {
            RData::A(a) => Some(Ipv4Addr::from(a.address).into()),
            RData::AAAA(aaaa) => Some(Ipv6Addr::from(aaaa.address).into()),
            _ => None,
        })
        .collect();
    Some(Read::Whole(match packet.rcode() {
        RCODE::NoError if !addresses.is_empty() => Answer::Addresses(addresses),
        RCODE::NoError if packet.has_flags(PacketFlag::TRUNCATION) => return Some(Read::Cut),
        RCODE::NoError => Answer::NoAddress,
        RCODE::NameError => Answer::NoSuchName,
        code => Answer::Failed(format!("it answered {code:?}")),
    }))
}

#[cfg(test)]
mod tests {
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, CNAME};

    use super::*;

    fn reply(id: u16, asked: &str, fill: impl FnOnce(&mut Packet<'_>)) -> Vec<u8> {
        let mut packet = Packet::new_reply(id);
        let name = Name::new(asked).unwrap();
        packet.questions.push(Question::new(name, TYPE::A.into(), CLASS::IN.into(), false));
        fill(&mut packet);
        packet.build_bytes_vec_compressed().unwrap()
    }

    fn address(packet: &mut Packet<'_>) {
        let record = |data| ResourceRecord::new(Name::new("x.example").unwrap(), CLASS::IN, 9, data);
        packet.answers.push(record(RData::CNAME(CNAME(Name::new("y.example").unwrap()))));
        packet.answers.push(record(RData::A(A { address: 0x0a00_0001 })));
    }

    #[test]
    fn only_an_answer_to_the_question_counts() {
        let right = reply(7, "X.example", address);
        let found = Read::Whole(Answer::Addresses(vec!["10.0.0.1".parse().unwrap()]));
        assert_eq!(read(&right, 7, "x.example", TYPE::A), Some(found));
        assert_eq!(read(&right, 8, "x.example", TYPE::A), None);
        assert_eq!(read(&right, 7, "z.example", TYPE::A), None);
        assert_eq!(read(&right, 7, "x.example", TYPE::AAAA), None);
        assert_eq!(read(&build(7, "x.example", TYPE::A).unwrap(), 7, "x.example", TYPE::A), None);
        for end in 0..right.len() {
            let _ = read(&right[..end], 7, "x.example", TYPE::A); // must not panic
        }
    }

    #[test]
    fn every_kind_of_no_is_told_apart() {
        let code = |code| reply(7, "x", |packet| *packet.rcode_mut() = code);
        let whole = |message: &[u8]| match read(message, 7, "x", TYPE::A) {
            Some(Read::Whole(answer)) => answer,
            other => panic!("{other:?}"),
        };
        assert_eq!(whole(&code(RCODE::NameError)), Answer::NoSuchName);
        assert_eq!(whole(&code(RCODE::NoError)), Answer::NoAddress);
        assert!(matches!(whole(&code(RCODE::ServerFailure)), Answer::Failed(_)));
        let cut = reply(7, "x", |packet| packet.set_flags(PacketFlag::TRUNCATION));
        assert_eq!(read(&cut, 7, "x", TYPE::A), Some(Read::Cut));
    }

    #[test]
    fn an_answer_that_does_not_fit_comes_by_stream() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let server = udp.local_addr().unwrap();
            let tcp = tokio::net::TcpListener::bind(server).await.unwrap();
            let served = tokio::spawn(async move {
                let mut datagram = [0; 512];
                let (count, from) = udp.recv_from(&mut datagram).await.unwrap();
                let id = Packet::parse(&datagram[..count]).unwrap().id();
                udp.send_to(&reply(id.wrapping_add(1), "x.example", address), from).await.unwrap();
                let cut = reply(id, "x.example", |packet| packet.set_flags(PacketFlag::TRUNCATION));
                udp.send_to(&cut, from).await.unwrap();
                let (mut stream, _) = tcp.accept().await.unwrap();
                let length = stream.read_u16().await.unwrap();
                let mut question = vec![0; usize::from(length)];
                stream.read_exact(&mut question).await.unwrap();
                let whole = reply(Packet::parse(&question).unwrap().id(), "x.example", address);
                let length = u16::try_from(whole.len()).unwrap().to_be_bytes();
                stream.write_all(&[&length[..], &whole].concat()).await.unwrap();
            });
            let answer = ask_for(server, "x.example", TYPE::A).await.unwrap();
            assert_eq!(answer, Answer::Addresses(vec!["10.0.0.1".parse().unwrap()]));
            served.await.unwrap();
        });
    }
}
