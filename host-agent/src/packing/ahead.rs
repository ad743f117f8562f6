//! Unpacks on a thread of its own, a little ahead of whoever reads.
//!
//! Neither side wakes the other for each piece: who waits, waits until there is work for a while. On a busy machine each change of
//! sides costs a turn of everybody else.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::decode::read_up_to;

/// Bytes of a piece.
const PIECE: usize = 1 << 20;
/// Pieces that may wait: what this costs in memory, with one piece at either end.
const MOST: usize = 10;
/// Who found none waits for so many, who found no room until so few are left.
const ENOUGH: usize = 3;
const FEW: usize = 5;

#[derive(Debug)]
pub(crate) struct Ahead {
    belt: Arc<Belt>,
    piece: Vec<u8>,
    at: usize,
}

/// Between the two threads.
#[derive(Debug, Default)]
struct Belt {
    state: Mutex<State>,
    /// There is a piece, or the end.
    full: Condvar,
    /// There is room, or nobody reads any more.
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Vec<u8>>,
    /// Pieces that were read, to be filled again.
    spent: Vec<Vec<u8>>,
    failure: Option<io::Error>,
    /// Nothing comes behind the pieces.
    ended: bool,
    /// Nobody reads any more.
    left: bool,
}

impl Belt {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: nobody reads any more.
    fn empty_piece(&self) -> Option<Vec<u8>> {
        let mut state = self.state();
        if state.pieces.len() >= MOST {
            let is_full = |state: &mut State| state.pieces.len() > FEW && !state.left;
            state = self.room.wait_while(state, is_full).unwrap_or_else(PoisonError::into_inner);
        }
        if state.left { None } else { Some(state.spent.pop().unwrap_or_default()) }
    }

    fn put(&self, piece: Vec<u8>, failure: Option<io::Error>, ended: bool) {
        let mut state = self.state();
        if !piece.is_empty() {
            state.pieces.push_back(piece);
        }
        state.failure = failure;
        state.ended = ended;
        let is_enough = ended || state.pieces.len() >= ENOUGH;
        drop(state);
        if is_enough {
            self.full.notify_one();
        }
    }

    /// None: that was all.
    fn next(&self, spent: Vec<u8>) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.state();
        if spent.capacity() > 0 {
            state.spent.push(spent);
        }
        if state.pieces.is_empty() {
            let is_little = |state: &mut State| state.pieces.len() < ENOUGH && !state.ended;
            state = self.full.wait_while(state, is_little).unwrap_or_else(PoisonError::into_inner);
        }
        let piece = state.pieces.pop_front();
        let failure = if piece.is_none() { state.failure.take() } else { None };
        let has_room = state.pieces.len() <= FEW;
        drop(state);
        if has_room {
            self.room.notify_one();
        }
        failure.map_or(Ok(piece), Err)
    }
}

/// Says that nothing comes any more, in a panic too.
struct End(Arc<Belt>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.state().ended = true;
        self.0.full.notify_one();
    }
}

impl Ahead {
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn new(source: Box<dyn Read + Send>) -> io::Result<Self> {
        let belt = Arc::new(Belt::default());
        let end = End(Arc::clone(&belt));
        thread::Builder::new().name("unpack".to_owned()).spawn(move || unpack(source, &end.0))?;
        Ok(Self { belt, piece: Vec::new(), at: 0 })
    }
}

/// Until the end, an error, or nobody reads any more.
fn unpack(mut source: Box<dyn Read + Send>, belt: &Belt) {
    while let Some(mut piece) = belt.empty_piece() {
        piece.resize(PIECE, 0);
        // What came before an error is handed on before it.
        let (length, failure) = filled(&mut source, &mut piece);
        piece.truncate(length);
        let ended = failure.is_some() || length < PIECE;
        belt.put(piece, failure, ended);
        if ended {
            return;
        }
    }
}

fn filled(source: &mut impl Read, piece: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut counted = Counted { source, count: 0 };
    let failure = read_up_to(&mut counted, piece).err();
    (counted.count, failure)
}

struct Counted<'a, R> {
    source: &'a mut R,
    count: usize,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.count += count;
        Ok(count)
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            let spent = std::mem::take(&mut self.piece);
            self.at = 0;
            self.piece = self.belt.next(spent)?.unwrap_or_default();
        }
        let rest = self.piece.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.belt.state().left = true;
        self.belt.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many bytes, each its place, then perhaps an error.
    struct Source {
        left: usize,
        at: usize,
        fails: bool,
    }

    impl Read for Source {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.left == 0 {
                return if self.fails { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(0) };
            }
            let count = self.left.min(buffer.len()).min(7919);
            for (place, byte) in buffer[..count].iter_mut().enumerate() {
                *byte = u8::try_from((self.at + place) % 251).unwrap();
            }
            self.at += count;
            self.left -= count;
            Ok(count)
        }
    }

    #[test]
    fn all_bytes_come_in_order_and_then_the_error() {
        for length in [0, 1, 7919, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 25 * PIECE + 5] {
            for fails in [false, true] {
                let mut ahead = Ahead::new(Box::new(Source { left: length, at: 0, fails })).unwrap();
                let mut bytes = Vec::new();
                let ended = ahead.read_to_end(&mut bytes);
                assert_eq!(ended.is_err(), fails, "{length}");
                assert_eq!(bytes.len(), length);
                assert!(bytes.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251));
            }
        }
    }

    #[test]
    fn who_stops_reading_ends_it() {
        let mut ahead = Ahead::new(Box::new(io::repeat(1))).unwrap();
        ahead.read_exact(&mut [0; 10]).unwrap();
        let belt = Arc::downgrade(&ahead.belt);
        drop(ahead);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while belt.strong_count() > 0 {
            assert!(std::time::Instant::now() < deadline, "the thread goes on");
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    fn a_thread_that_dies_ends_the_stream() {
        struct Dies;
        impl Read for Dies {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                panic!("as a broken decoder would")
            }
        }
        let mut ahead = Ahead::new(Box::new(Dies)).unwrap();
        assert_eq!(ahead.read(&mut [0; 10]).unwrap(), 0);
    }
}
