//! How long everything takes: measured on the real API with two slow cores and a dir storage.

use std::time::Duration;

/// Times of one cluster, before scaling. Only what waits for a lock keeps its own limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Answer of a read.
    pub read: Duration,
    /// Answer of a POST that starts a task.
    pub fork: Duration,
    /// Answer of a PUT of a configuration.
    pub write: Duration,
    /// Answer of `interfaces`; a daemon's worker is busy for that time.
    pub interfaces: Duration,
    /// Every 401.
    pub unauthorized: Duration,
    /// Allocating and formatting for a restore, under the storage's lock: restores queue here.
    pub allocate: Duration,
    /// Unpacking for a restore, side by side.
    pub extract: Duration,
    /// From start to a running init or QEMU.
    pub start: Duration,
    pub stop: Duration,
    pub shutdown: Duration,
    pub destroy: Duration,
    /// Of a stopped ext4 container: the multiple-mount protection waits, twice.
    pub resize_stopped_container: Duration,
    pub resize: Duration,
    /// Link-local address of a guest, after its start.
    pub link: Duration,
    /// Its address by DHCP, after its start.
    pub address: Duration,
    /// Its beacon, after its start.
    pub beacon: Duration,
    /// Its QEMU agent, after its start.
    pub agent: Duration,
    /// How long a call to a silent agent takes.
    pub silent_agent: Duration,
    /// How long the daemon holds a call whose answer it cannot write.
    pub broken_agent: Duration,
    /// How long a node that does not answer is waited for.
    pub no_route: Duration,
    /// After which a relay gives up on a worker that hangs.
    pub relay: Duration,
    pub locks: Locks,
}

/// How long calls and tasks wait for locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locks {
    /// A guest's flock, by calls and by most tasks.
    pub guest: Duration,
    /// The same, by a POST that restores.
    pub create: Duration,
    /// The same, by the worker of a QEMU restore.
    pub qemu_restore: Duration,
    /// A storage's. The queue of parallel restores is modelled as this lock; it lets them wait longer than the
    /// real lock's 10 s, because much of the real queue is work outside the lock.
    pub storage: Duration,
}

impl Default for Locks {
    fn default() -> Self {
        Self { guest: seconds(10), create: seconds(5), qemu_restore: seconds(1), storage: seconds(600) }
    }
}

impl Profile {
    /// As measured.
    pub fn measured() -> Self {
        Self {
            read: millis(8),
            fork: millis(60),
            write: millis(60),
            interfaces: millis(75),
            unauthorized: seconds(3),
            allocate: millis(1100),
            extract: millis(1100),
            start: millis(2000),
            stop: millis(1800),
            shutdown: millis(3000),
            destroy: millis(700),
            resize_stopped_container: millis(22_600),
            resize: millis(300),
            link: millis(300),
            address: millis(5000),
            beacon: millis(5500),
            agent: millis(8000),
            silent_agent: seconds(3),
            broken_agent: millis(5100),
            no_route: millis(3090),
            relay: seconds(30),
            locks: Locks::default(),
        }
    }

    /// All times multiplied, those of locks too: a test of a 10 s timeout need not take 10 s.
    pub fn scaled(&self, factor: f64) -> Self {
        let mut scaled = self.clone();
        for time in scaled.times() {
            *time = time.mul_f64(factor);
        }
        scaled
    }

    /// Everything at once; locks are still waited for.
    pub fn instant() -> Self {
        let mut instant = Self::measured().scaled(0.0);
        instant.locks = Locks::default();
        instant
    }

    fn times(&mut self) -> [&mut Duration; 25] {
        [
            &mut self.read,
            &mut self.fork,
            &mut self.write,
            &mut self.interfaces,
            &mut self.unauthorized,
            &mut self.allocate,
            &mut self.extract,
            &mut self.start,
            &mut self.stop,
            &mut self.shutdown,
            &mut self.destroy,
            &mut self.resize_stopped_container,
            &mut self.resize,
            &mut self.link,
            &mut self.address,
            &mut self.beacon,
            &mut self.agent,
            &mut self.silent_agent,
            &mut self.broken_agent,
            &mut self.no_route,
            &mut self.relay,
            &mut self.locks.guest,
            &mut self.locks.create,
            &mut self.locks.qemu_restore,
            &mut self.locks.storage,
        ]
    }
}

fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}
