//! A TCP proxy with weather: between guests and a companion, and between a companion and its database.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use firstlight_tests::ports::free_address;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio::sync::watch;

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Fair,
    /// Connections are closed, and new ones as well.
    Cut,
    /// Every piece is late by this.
    Slow(Duration),
    /// Of every piece half is passed on, then the connection is closed.
    Torn,
    /// Nothing is passed on, and nobody is told. What was under way then is closed at the end.
    Silent,
}

/// Where it leads to.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    weather: watch::Sender<Weather>,
}

impl Proxy {
    /// Serves until the runtime ends.
    pub(crate) async fn start(target: Target) -> Self {
        let address = free_address();
        let listener = TcpListener::bind(address).await.unwrap();
        let weather = watch::Sender::new(Weather::Fair);
        let sky = weather.subscribe();
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => drop(tokio::spawn(lead(stream, peer, target.clone(), sky.clone()))),
                    // Out of file descriptors, for one: give the others time to end.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
        Self { address, weather }
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn lead(stream: TcpStream, peer: SocketAddr, target: Target, sky: watch::Receiver<Weather>) {
    let _ = stream.set_nodelay(true);
    match target {
        Target::Tcp(to) => {
            if let Ok(onward) = dial(peer.ip(), to).await {
                both(stream, onward, sky).await;
            }
        }
        Target::Unix(to) => {
            if let Ok(onward) = UnixStream::connect(to).await {
                both(stream, onward, sky).await;
            }
        }
    }
}

/// From the address of whoever came: companions count connections by it.
async fn dial(source: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(source, 0))?;
    let onward = socket.connect(to).await?;
    onward.set_nodelay(true)?;
    Ok(onward)
}

async fn both<A, B>(one: A, other: B, sky: watch::Receiver<Weather>)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (one_reads, one_writes) = tokio::io::split(one);
    let (other_reads, other_writes) = tokio::io::split(other);
    // Whichever side ends first ends the other: nobody here sends more after the other has closed.
    tokio::select! {
        () = pass(one_reads, other_writes, sky.clone()) => {}
        () = pass(other_reads, one_writes, sky) => {}
    }
}

/// Until one end closes, or the weather ends it.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut sky: watch::Receiver<Weather>,
) {
    let mut piece = vec![0; 16 << 10];
    loop {
        let weather = *sky.borrow_and_update();
        match weather {
            Weather::Cut => return,
            Weather::Silent => {
                let _ = sky.changed().await;
                return;
            }
            _ => {}
        }
        let count = tokio::select! {
            read = from.read(&mut piece) => read.unwrap_or(0),
            changed = sky.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        match (count, weather) {
            (0, _) => return,
            (_, Weather::Slow(late)) => tokio::time::sleep(late).await,
            (_, Weather::Torn) => {
                let _ = to.write_all(&piece[..count / 2]).await;
                let _ = to.flush().await;
                return;
            }
            _ => {}
        }
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}
