//! The group of listeners at one address: the listener of each instance, the instances that are on, and the selector that uses them.
//!
//! A group is kept in files below a folder, so that it outlives the commands that change it. The next
//! instance that joins recreates every part that is missing or of another version.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::btf::{self, Btf};
use super::connections::Place;
use super::homes::{self, Candidate};
use super::selector::{self, Offsets};
use super::share::{self, Plan, Share};
use crate::sys::bpf::{self, Kind, Map};

/// More instances than an app can have, with the extra ones of a reload.
const MOST: u32 = 2048;
/// The file of the selector; one of another version is replaced while it is used.
const SELECTOR: &str = "selector-3";
/// The file of the selector that goes by the client's address.
const BY_SOURCE: &str = "selector-3-source";
/// How long a connection waits at an instance until the instance counts as stuck, in nanoseconds.
const PATIENCE: u32 = 10_000_000;
/// How long the kernel may take to release maps that are no longer used.
const LONGEST: Duration = Duration::from_secs(5);

/// The file of the table by which a client's address chooses.
const HOMES: &str = "homes";
/// The file of the observed queues, and that of selectors of older versions.
const SEEN: &str = "queues";
const SEEN_BEFORE: &str = "seen";
/// The file of the doors, which decide who may reach an instance that is off.
const DOORS: &str = "doors";
/// A door that only reserved ports pass, see `DOORS` in `selector.c`.
const GUARDED: u32 = 1;
const OPEN: u32 = 2;
/// The file of the plan, which lists the instances that get the next connections.
const PLAN: &str = "plan";
/// How long an instance that has just been turned on gets new connections first, if it has fewer than the others. Later on, the numbers may have
/// changed.
const CATCH_UP: Duration = Duration::from_secs(5);
/// How long the connections of an instance that is off are expected to come back, unless the instance ends earlier.
const COME_BACK: Duration = Duration::from_mins(1);
/// Marks an instance that exists only during a reload, see `EXTRA` in `selector.c`.
const EXTRA: u32 = 1 << 31;

/// The numbers in the map `turn`, see `selector.c`.
mod turn {
    pub(super) const COUNT: u32 = 0;
    /// Read by the selectors of older versions: how many connections go to one instance first.
    pub(super) const CREDIT: u32 = 3;
    pub(super) const PATIENCE: u32 = 4;
    pub(super) const LENGTH: u32 = 5;
}

/// The map that is kept at a path, or a new one for a group created by an older version.
fn open_or_create<const VALUE: usize>(path: &Path, entries: u32) -> io::Result<Map<VALUE>> {
    match Map::open(path, entries) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let map = Map::create(Kind::Array, entries, "rsgen_added")?;
    bpf::pin(map.as_fd(), path)?;
    Ok(map)
}

/// An instance as it joins a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door {
    pub(super) instance: u32,
    /// Whether only a privileged client of this host may choose the instance while it is off.
    pub(super) is_guarded: bool,
}

/// A group.
pub(super) struct Group {
    folder: PathBuf,
    sockets: Map<8>,
    on: Map<4>,
    turn: Map<4>,
    seen: Map<24>,
    places: Map<{ Place::LENGTH }>,
    homes: Map<{ homes::LENGTH }>,
    plan: Map<{ Plan::LENGTH }>,
    doors: Map<4>,
}

impl Group {
    /// The group that is kept in a folder.
    ///
    /// # Errors
    /// `NotFound` and `InvalidData` if there is no usable one.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            sockets: Map::open(&folder.join("sockets"), MOST)?,
            on: Map::open(&folder.join("on"), MOST)?,
            turn: Map::open(&folder.join("turn"), turn::LENGTH)?,
            seen: open_or_create(&folder.join(SEEN), MOST)?,
            places: Map::open(&folder.join("places"), MOST)?,
            homes: open_or_create(&folder.join(HOMES), 1)?,
            plan: open_or_create(&folder.join(PLAN), 1)?,
            doors: open_or_create(&folder.join(DOORS), MOST)?,
            folder: folder.to_owned(),
        })
    }

    /// A group without members, which is not kept in files.
    ///
    /// # Errors
    /// The errors of bpf(2).
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            sockets: Map::create(Kind::Sockets, MOST, "rsgen_sockets")?,
            on: Map::create(Kind::Array, MOST, "rsgen_on")?,
            turn: Map::create(Kind::Array, turn::LENGTH, "rsgen_turn")?,
            seen: Map::create(Kind::Array, MOST, "rsgen_seen")?,
            places: Map::create(Kind::Array, MOST, "rsgen_places")?,
            homes: Map::create(Kind::Array, 1, "rsgen_homes")?,
            plan: Map::create(Kind::Array, 1, "rsgen_plan")?,
            doors: Map::create(Kind::Array, MOST, "rsgen_doors")?,
            folder: folder.to_owned(),
        })
    }

    fn open_or_make(folder: &Path) -> io::Result<Self> {
        match Self::open(folder) {
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::InvalidData
                ) => {}
            found => return found,
        }
        match fs::remove_dir_all(folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        fs::create_dir_all(folder)?;
        let group = Self::new(folder)?;
        for (map, name) in [
            (group.sockets.as_fd(), "sockets"),
            (group.on.as_fd(), "on"),
            (group.turn.as_fd(), "turn"),
            (group.seen.as_fd(), SEEN),
            (group.places.as_fd(), "places"),
            (group.homes.as_fd(), HOMES),
            (group.plan.as_fd(), PLAN),
            (group.doors.as_fd(), DOORS),
        ] {
            bpf::pin(map, &folder.join(name))?;
        }
        Ok(group)
    }

    /// Adds the listener of an instance to the group in a folder, which is created if necessary. The instance is off.
    ///
    /// # Errors
    /// The errors of bpf(2) and of the file system.
    pub(super) fn join(
        folder: &Path,
        door: Door,
        listener: BorrowedFd<'_>,
        by_source: bool,
    ) -> io::Result<()> {
        let group = Self::open_or_make(folder)?;
        let instance = door.instance;
        group.turn_off(instance)?;
        let guard = if door.is_guarded { GUARDED } else { 0 };
        group.doors.set(instance, &guard.to_ne_bytes())?;
        if by_source {
            group.find_homes()?;
        }
        // At each join, because every program with the listener can attach another selector, or detach this one.
        bpf::attach(listener, group.selector(by_source)?.as_fd())?;
        group.put(instance, listener)?;
        group.places.set(instance, &Place::of(listener)?.bytes())
    }

    /// Puts a listener into the map of listeners. As long as the previous selector lives, the listener may be
    /// in its map, and it can be in only one map.
    fn put(&self, instance: u32, listener: BorrowedFd<'_>) -> io::Result<()> {
        let own = bpf::cookie(listener)?;
        if self.sockets.value(instance).is_ok_and(|found| found == own) {
            return Ok(());
        }
        let fd = u64::try_from(listener.as_raw_fd()).unwrap_or(u64::MAX);
        let end = Instant::now() + LONGEST;
        loop {
            match self.sockets.set(instance, &fd.to_ne_bytes()) {
                Err(e) if e.kind() == io::ErrorKind::ResourceBusy && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                done => return done,
            }
        }
    }

    /// The selector of this version; no other is kept.
    fn selector(&self, by_source: bool) -> io::Result<OwnedFd> {
        let file = if by_source { BY_SOURCE } else { SELECTOR };
        let path = self.folder.join(file);
        if let Ok(found) = bpf::get(&path) {
            return Ok(found);
        }
        let (selector, _) = self.load(by_source)?;
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("selector-") || name == SEEN_BEFORE {
                fs::remove_file(entry.path())?;
            }
        }
        bpf::pin(selector.as_fd(), &path)?;
        Ok(selector)
    }

    /// Loads a selector, and returns whether it can detect stuck instances.
    ///
    /// # Errors
    /// The errors of bpf(2).
    pub(super) fn load(&self, by_source: bool) -> io::Result<(OwnedFd, bool)> {
        let description = fs::read(btf::FILE).unwrap_or_default();
        let offsets = Btf::read(&description).and_then(|btf| Offsets::of(&btf));
        let selector = self.load_with(offsets, by_source)?;
        Ok((selector, offsets.is_some()))
    }

    /// Loads a selector for a kernel that has its structures there, or that does not describe itself.
    fn load_with(&self, offsets: Option<Offsets>, by_source: bool) -> io::Result<OwnedFd> {
        let maps = [
            self.sockets.as_fd(),
            self.on.as_fd(),
            self.turn.as_fd(),
            self.seen.as_fd(),
            self.homes.as_fd(),
            self.plan.as_fd(),
            self.doors.as_fd(),
        ];
        let code = selector::instructions(maps, offsets, by_source);
        let selector = bpf::load(&code, "rsgen_selector")?;
        let patience = offsets.map_or(0, |_| PATIENCE);
        self.set(turn::PATIENCE, patience)?;
        Ok(selector)
    }

    /// Lets an instance have connections, beginning with as many as it lacks compared with the others. An
    /// extra instance gets none if the client's address chooses, unless it is the only one.
    ///
    /// # Errors
    /// The errors of bpf(2).
    pub(super) fn turn_on(&self, instance: u32, is_extra: bool) -> io::Result<()> {
        let on = self.members()?;
        if on.contains(&instance) {
            return Ok(());
        }
        let count = u32::try_from(on.len()).unwrap_or(MOST);
        self.expect(&Plan::default(), instance, CATCH_UP)?;
        let slot = if is_extra { instance | EXTRA } else { instance };
        self.on.set(count, &slot.to_ne_bytes())?;
        self.set(turn::COUNT, count + 1)?;
        self.doors
            .set(instance, &(self.door(instance)? | OPEN).to_ne_bytes())?;
        let (own, mut shares) = self.shares(instance, &on).unwrap_or_default();
        let behind = share::behind(own.map_or(0, |own| own.connections), &shares);
        shares.extend(own);
        self.expect(&Plan::level(&shares, behind), instance, CATCH_UP)
    }

    /// Keeps new connections from an instance. Its clients will reconnect when it ends, first to the instances with the fewest connections.
    ///
    /// # Errors
    /// The errors of bpf(2).
    pub(super) fn turn_off(&self, instance: u32) -> io::Result<()> {
        if Plan::made_for(&self.plan.value(0)?) == instance {
            self.expect(&Plan::default(), instance, COME_BACK)?;
        }
        let on = self.slots()?;
        let Some(at) = on.iter().position(|found| found & !EXTRA == instance) else {
            return Ok(());
        };
        let last = u32::try_from(on.len()).unwrap_or(MOST).saturating_sub(1);
        // The last one takes over this index before its own is removed, so that there is never a gap.
        if let Some(moved) = on.last() {
            self.on
                .set(u32::try_from(at).unwrap_or(0), &moved.to_ne_bytes())?;
        }
        self.set(turn::COUNT, last)?;
        self.doors
            .set(instance, &(self.door(instance)? & !OPEN).to_ne_bytes())?;
        let (own, shares) = self.shares(instance, &self.members()?).unwrap_or_default();
        let comes_back = own.map_or(0, |own| own.connections);
        self.expect(&Plan::level(&shares, comes_back), instance, COME_BACK)
    }

    /// Sets which instances get the next connections, because one was turned on or off.
    fn expect(&self, plan: &Plan, instance: u32, time: Duration) -> io::Result<()> {
        self.set(turn::CREDIT, 0)?;
        let until = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?) + time;
        let until = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX);
        self.plan.set(0, &plan.bytes(until, instance))
    }

    /// Makes the table by which the client's address chooses among those that are on.
    ///
    /// # Errors
    /// The errors of bpf(2).
    pub(super) fn find_homes(&self) -> io::Result<()> {
        let on = self.slots()?.into_iter().map(|slot| Candidate {
            instance: slot & !EXTRA,
            is_extra: slot & EXTRA != 0,
        });
        let on: Vec<Candidate> = on.collect();
        self.homes.set(0, &homes::table(&on))
    }

    /// The instances that are on.
    ///
    /// # Errors
    /// The errors of bpf(2).
    pub(super) fn members(&self) -> io::Result<Vec<u32>> {
        let slots = self.slots()?;
        Ok(slots.into_iter().map(|slot| slot & !EXTRA).collect())
    }

    fn slots(&self) -> io::Result<Vec<u32>> {
        let count = self.number(turn::COUNT)?.min(MOST);
        let members = (0..count).map(|at| self.on.value(at).map(u32::from_ne_bytes));
        members.collect()
    }

    /// How many connections wait at the listener of an instance.
    ///
    /// # Errors
    /// The errors of bpf(2) and of `sock_diag(7)`.
    pub(super) fn waiting(&self, instance: u32) -> io::Result<u32> {
        self.place(instance)?.map_or(Ok(0), Place::waiting)
    }

    /// The connections of an instance, and those of the others; empty if the kernel does not report them.
    fn shares(&self, instance: u32, others: &[u32]) -> io::Result<(Option<Share>, Vec<Share>)> {
        let Some(own) = self.place(instance)? else {
            return Ok((None, Vec::new()));
        };
        let mut groups = vec![(instance, own.group)];
        for other in others {
            if let Some(place) = self.place(*other)? {
                groups.push((*other, place.group));
            }
        }
        let mut shares = Share::count(&groups, &own.connections()?)
            .unwrap_or_default()
            .into_iter();
        Ok((shares.next(), shares.collect()))
    }

    fn door(&self, instance: u32) -> io::Result<u32> {
        self.doors.value(instance).map(u32::from_ne_bytes)
    }

    fn place(&self, instance: u32) -> io::Result<Option<Place>> {
        self.places.value(instance).map(Place::read)
    }

    fn number(&self, key: u32) -> io::Result<u32> {
        self.turn.value(key).map(u32::from_ne_bytes)
    }

    fn set(&self, key: u32, value: u32) -> io::Result<()> {
        self.turn.set(key, &value.to_ne_bytes())
    }
}

#[cfg(test)]
mod tests;
