//! One question to the servers in their order, over UDP, and over TCP where an answer does not fit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::config::ResolvConf;
use super::message::{Kind, Read, question, read};
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
            match ask_for(*server, name, Kind::A).await? {
                Answer::NoAddress => ask_for(*server, name, Kind::Aaaa).await,
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

async fn ask_for(server: SocketAddr, name: &str, kind: Kind) -> io::Result<Answer> {
    let id = u16::from_ne_bytes(random_bytes());
    let question = question(id, name, kind).ok_or(io::ErrorKind::InvalidInput)?;
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    // Connected: only the server's own datagrams come through.
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut datagram = [0; 1500];
    loop {
        let count = socket.recv(&mut datagram).await?;
        match read(&datagram[..count], &question) {
            // Not the answer to this question: somebody guesses, or an old one.
            None => {}
            Some(Read::Whole(answer)) => return Ok(answer),
            Some(Read::Cut) => return ask_by_stream(server, &question).await,
        }
    }
}

async fn ask_by_stream(server: SocketAddr, question: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    match read(&message, question) {
        Some(Read::Whole(answer)) => Ok(answer),
        _ => Err(io::Error::other("the answer by TCP cannot be read")),
    }
}

#[cfg(test)]
mod tests {
    use simple_dns::{Packet, PacketFlag};

    use super::super::message::tests::{address, reply};
    use super::*;

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
            let answer = ask_for(server, "x.example", Kind::A).await.unwrap();
            assert_eq!(answer, Answer::Addresses(vec!["10.0.0.1".parse().unwrap()]));
            served.await.unwrap();
        });
    }
}
