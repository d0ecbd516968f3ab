//! Shares places and body memory between clients, so that a client that proved nothing holds neither against others.
//!
//! A [`Places`] table counts connections or requests in flight. Each [`Place`] has a [`Standing`]: what its client has
//! proved. A reserve of places and bytes is not for unproven clients. If a place is short, the table takes one from an
//! unproven client for the new one. It prefers a client that sends slower than `server.min_body_rate`. Then it takes
//! from the address that holds most, there from the connection that holds most, there the slowest.
//!
//! So one address cannot hold what others need, and of many addresses the slowest go first. A place whose client sent a
//! valid webhook on it is settled: a request keeps it, a connection loses it only after a silence.

use crate::server::place_limits::{PlaceLimits, Standing};
use crate::server::rate_meter::RateMeter;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

/// Shortest time between two log lines about evictions.
const EVICTION_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What is short, and whose places can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    OfAddress(IpAddr),
    OfConnection(u64),
    OfUnproven,
    Total,
}

/// A table of places. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Places(Arc<PlacesTable>);

struct PlacesTable {
    name: &'static str,
    limits: PlaceLimits,
    state: Mutex<TableState>,
}

#[derive(Default)]
struct TableState {
    next_id: u64,
    holders: HashMap<u64, Holder>,
    by_address: HashMap<IpAddr, Usage>,
    by_connection: HashMap<u64, Usage>,
    total: Usage,
    unproven: Usage,
    unlogged_evictions: u64,
    logged_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    places: u64,
    bytes: u64,
}

struct Holder {
    address: IpAddr,
    connection: u64,
    standing: Standing,
    is_settled: bool,
    bytes: u64,
    meter: Arc<RateMeter>,
    evicted: Arc<Notify>,
}

/// The client that asks for a place. `connection` is the id of its place among the connections.
#[derive(Debug, Clone, Copy)]
pub struct Applicant {
    pub address: IpAddr,
    pub connection: u64,
    pub standing: Standing,
}

/// One place, released on drop.
pub struct Place {
    table: Arc<PlacesTable>,
    id: u64,
    meter: Arc<RateMeter>,
    evicted: Arc<Notify>,
}

/// Bytes of a verified body, which the writer holds until it has stored them; released on drop.
pub struct HeldBytes {
    table: Arc<PlacesTable>,
    bytes: u64,
}

impl Places {
    /// Returns an empty table; `name` is the plural of what has a place, for the log.
    #[must_use]
    pub fn new(name: &'static str, limits: PlaceLimits) -> Self {
        Self(Arc::new(PlacesTable { name, limits, state: Mutex::default() }))
    }

    /// Returns the number of places that are taken.
    #[must_use]
    pub fn count_taken(&self) -> u64 {
        self.0.lock().total.places
    }

    /// Returns a place, if necessary by taking one from another client.
    ///
    /// # Errors
    /// What is short, if no other client may lose its place for this one.
    pub fn admit(&self, applicant: Applicant) -> Result<Place, Shortage> {
        let table = &self.0;
        let mut state = table.lock();
        table.make_room(&mut state, None, applicant, Usage { places: 1, bytes: 0 })?;
        let id = state.next_id;
        state.next_id += 1;
        let meter = Arc::new(RateMeter::new(table.limits.min_rate, table.limits.grace));
        let evicted = Arc::default();
        let holder = Holder {
            address: applicant.address,
            connection: applicant.connection,
            standing: applicant.standing,
            is_settled: false,
            bytes: 0,
            meter: Arc::clone(&meter),
            evicted: Arc::clone(&evicted),
        };
        state.add_usage(&holder, Usage { places: 1, bytes: 0 });
        state.holders.insert(id, holder);
        drop(state);
        Ok(Place { table: table.clone(), id, meter, evicted })
    }
}

impl Place {
    /// Returns a number that no other place of this table has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns the meter of received bytes, which decides whether the client lags.
    #[must_use]
    pub fn meter(&self) -> Arc<RateMeter> {
        self.meter.clone()
    }

    /// Waits until another client gets this place. Only one task may wait.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }

    /// Returns whether the client sent a valid webhook on this place.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.table.lock().holders.get(&self.id).is_some_and(|holder| holder.is_settled)
    }

    /// Records that the client sent a valid webhook on this place.
    pub fn settle(&self) {
        let mut state = self.table.lock();
        let state = &mut *state;
        let Some(holder) = state.holders.get_mut(&self.id) else { return };
        if holder.standing == Standing::Unproven {
            state.unproven.places -= 1;
            state.unproven.bytes -= holder.bytes;
        }
        holder.standing = holder.standing.max(Standing::Proven);
        holder.is_settled = true;
    }

    /// Takes `more` bytes of memory, if necessary from another client.
    ///
    /// # Errors
    /// What is short, if no other client may lose its memory for this one.
    pub fn hold_bytes(&self, more: u64) -> Result<(), Shortage> {
        let mut state = self.table.lock();
        let Some(holder) = state.holders.get(&self.id) else { return Err(Shortage::Total) };
        let applicant = Applicant { address: holder.address, connection: holder.connection, standing: holder.standing };
        let usage = Usage { places: 0, bytes: more };
        self.table.make_room(&mut state, Some(self.id), applicant, usage)?;
        let mut holder = state.holders.remove(&self.id).expect("a place is not taken for itself");
        holder.bytes += more;
        state.add_usage(&holder, usage);
        state.holders.insert(self.id, holder);
        Ok(())
    }

    /// Moves the place's bytes to a holder of their own, for a body that outlives its request.
    #[must_use]
    pub fn detach_bytes(&self, bytes: u64) -> HeldBytes {
        let mut state = self.table.lock();
        if let Some(mut holder) = state.holders.remove(&self.id) {
            state.subtract_usage(&holder, Usage { places: 0, bytes: holder.bytes });
            holder.bytes = 0;
            state.holders.insert(self.id, holder);
        }
        state.total.bytes += bytes;
        HeldBytes { table: self.table.clone(), bytes }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.lock().remove(self.id);
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.table.lock().total.bytes -= self.bytes;
    }
}

impl PlacesTable {
    fn lock(&self) -> MutexGuard<'_, TableState> {
        self.state.lock().expect("nothing panics while it holds the places")
    }

    /// Evicts other holders until `needed` fits.
    fn make_room(
        &self,
        state: &mut TableState,
        own_id: Option<u64>,
        applicant: Applicant,
        needed: Usage,
    ) -> Result<(), Shortage> {
        while let Some(shortage) = self.find_shortage(state, applicant, needed) {
            let victim = self.find_victim(state, own_id, shortage, needed).ok_or(shortage)?;
            let holder = state.remove(victim).expect("the victim has a place");
            holder.evicted.notify_one();
            self.log_eviction(state);
        }
        Ok(())
    }

    fn find_shortage(&self, state: &TableState, applicant: Applicant, needed: Usage) -> Option<Shortage> {
        let limits = &self.limits;
        let of_address = state.by_address.get(&applicant.address).copied().unwrap_or_default();
        let of_connection = state.by_connection.get(&applicant.connection).copied().unwrap_or_default();
        let is_over = |used: u64, needed: u64, max: u64| needed > 0 && used + needed > max;
        if is_over(of_address.places, needed.places, limits.places_per_address) {
            return Some(Shortage::OfAddress(applicant.address));
        }
        if applicant.standing != Standing::Trusted {
            if is_over(of_connection.bytes, needed.bytes, limits.bytes_per_connection) {
                return Some(Shortage::OfConnection(applicant.connection));
            }
            if is_over(of_address.bytes, needed.bytes, limits.bytes_per_address) {
                return Some(Shortage::OfAddress(applicant.address));
            }
        }
        if applicant.standing == Standing::Unproven
            && (is_over(state.unproven.places, needed.places, limits.unproven_places)
                || is_over(state.unproven.bytes, needed.bytes, limits.unproven_bytes))
        {
            return Some(Shortage::OfUnproven);
        }
        let is_short = is_over(state.total.places, needed.places, limits.places)
            || is_over(state.total.bytes, needed.bytes, limits.bytes);
        is_short.then_some(Shortage::Total)
    }

    /// Returns the holder to evict: unproven before known, lagging before the others, then by share and lag.
    fn find_victim(&self, state: &TableState, own_id: Option<u64>, shortage: Shortage, needed: Usage) -> Option<u64> {
        let share =
            |usage: Option<&Usage>| usage.map_or(0, |usage| if needed.bytes > 0 { usage.bytes } else { usage.places });
        let now = Instant::now();
        state
            .holders
            .iter()
            .filter(|(id, holder)| Some(**id) != own_id && (needed.bytes == 0 || holder.bytes > 0))
            .filter(|(_, holder)| match shortage {
                Shortage::OfAddress(address) => holder.address == address,
                Shortage::OfConnection(connection) => holder.connection == connection,
                Shortage::OfUnproven => holder.standing == Standing::Unproven,
                Shortage::Total => true,
            })
            .filter_map(|(id, holder)| {
                let lag = holder.meter.measure_lag(now);
                let grace = if holder.is_settled { self.limits.settled_grace? } else { self.limits.grace };
                let is_lagging = lag > grace;
                let is_unproven = holder.standing == Standing::Unproven;
                let of_address = share(state.by_address.get(&holder.address));
                let of_connection = share(state.by_connection.get(&holder.connection));
                (is_unproven || is_lagging).then_some(((is_unproven, is_lagging, of_address, of_connection, lag), *id))
            })
            .max()
            .map(|(_, id)| id)
    }

    fn log_eviction(&self, state: &mut TableState) {
        state.unlogged_evictions += 1;
        if state.logged_at.is_none_or(|at| at.elapsed() >= EVICTION_LOG_INTERVAL) {
            state.logged_at = Some(Instant::now());
            let evicted = std::mem::take(&mut state.unlogged_evictions);
            warn!(
                evicted,
                "the daemon closed unproven {} to admit others. Is this machine under attack? See `ss -tn` for the \
                 addresses",
                self.name
            );
        }
    }
}

impl TableState {
    fn remove(&mut self, id: u64) -> Option<Holder> {
        let holder = self.holders.remove(&id)?;
        self.subtract_usage(&holder, Usage { places: 1, bytes: holder.bytes });
        Some(holder)
    }

    fn add_usage(&mut self, holder: &Holder, usage: Usage) {
        let (address, connection) = (
            self.by_address.entry(holder.address).or_default(),
            self.by_connection.entry(holder.connection).or_default(),
        );
        let mut sums = vec![&mut self.total, address, connection];
        if holder.standing == Standing::Unproven {
            sums.push(&mut self.unproven);
        }
        for sum in sums {
            sum.places += usage.places;
            sum.bytes += usage.bytes;
        }
    }

    fn subtract_usage(&mut self, holder: &Holder, usage: Usage) {
        let subtract = |sum: &mut Usage| {
            sum.places -= usage.places;
            sum.bytes -= usage.bytes;
            *sum == Usage::default()
        };
        subtract(&mut self.total);
        if holder.standing == Standing::Unproven {
            subtract(&mut self.unproven);
        }
        if self.by_address.get_mut(&holder.address).is_some_and(subtract) {
            self.by_address.remove(&holder.address);
        }
        if self.by_connection.get_mut(&holder.connection).is_some_and(subtract) {
            self.by_connection.remove(&holder.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a table with four places, three of them for unproven clients, and 400 bytes.
    fn make_table() -> Places {
        Places::new(
            "requests",
            PlaceLimits {
                places: 4,
                places_per_address: 3,
                bytes: 400,
                bytes_per_address: 200,
                bytes_per_connection: 100,
                unproven_places: 3,
                unproven_bytes: 300,
                min_rate: 1,
                grace: Duration::from_secs(3),
                settled_grace: None,
            },
        )
    }

    fn applicant(host: u8, connection: u64, standing: Standing) -> Applicant {
        Applicant { address: IpAddr::from([192, 0, 2, host]), connection, standing }
    }

    fn is_evicted(place: &Place) -> bool {
        !place.table.lock().holders.contains_key(&place.id)
    }

    /// Lets `place` lag by this many seconds.
    fn let_lag(places: &Places, place: &Place, seconds: u64) {
        let mut state = places.0.lock();
        let meter = &mut state.holders.get_mut(&place.id).unwrap().meter;
        let mut lagging = RateMeter::new(places.0.limits.min_rate, places.0.limits.grace);
        lagging.add_lag(meter.measure_lag(Instant::now()) + Duration::from_secs(seconds));
        *meter = Arc::new(lagging);
    }

    #[test]
    fn largest_holder_loses_first_and_there_the_slowest() {
        let places = make_table();
        let other = places.admit(applicant(1, 1, Standing::Unproven)).unwrap();
        let [fast, slow] = [2, 3].map(|n| places.admit(applicant(2, n, Standing::Unproven)).unwrap());
        let_lag(&places, &other, 2);
        let_lag(&places, &slow, 2);
        let_lag(&places, &fast, 2);
        places.0.lock().holders[&fast.id].meter.record_bytes(100, Instant::now());
        let new = places.admit(applicant(3, 4, Standing::Unproven)).unwrap();
        assert_eq!([&other, &fast, &slow, &new].map(is_evicted), [false, false, true, false]);
        // A lagging client loses its place before a larger one.
        let_lag(&places, &other, 2);
        let _newer = places.admit(applicant(2, 5, Standing::Unproven)).unwrap();
        assert_eq!([&other, &fast, &new].map(is_evicted), [true, false, false]);
    }

    #[test]
    fn reserve_is_for_clients_that_proved_something() {
        let places = make_table();
        let unproven: Vec<_> =
            (1..=4).map(|n| places.admit(applicant(n, n.into(), Standing::Unproven)).unwrap()).collect();
        assert_eq!(unproven.iter().filter(|place| !is_evicted(place)).count(), 3, "one place stays free");
        let known = places.admit(applicant(9, 9, Standing::KnownAddress)).unwrap();
        assert_eq!(unproven.iter().filter(|place| !is_evicted(place)).count(), 3);
        let more =
            [(7, 10), (8, 11), (9, 12)].map(|(n, c)| places.admit(applicant(n, c, Standing::KnownAddress)).unwrap());
        assert!(unproven.iter().all(is_evicted), "unproven clients make room");
        assert!(matches!(places.admit(applicant(6, 13, Standing::Unproven)), Err(Shortage::Total)));
        let_lag(&places, &known, 4);
        let last = places.admit(applicant(6, 13, Standing::Unproven)).unwrap();
        assert!(is_evicted(&known) && !more.iter().any(is_evicted), "only a lagging one makes room");
        for place in more.iter().chain([&last]) {
            let_lag(&places, place, 100);
            place.settle();
        }
        assert!(matches!(places.admit(applicant(5, 14, Standing::KnownAddress)), Err(Shortage::Total)), "settled");
    }

    #[test]
    fn memory_is_shared_by_connection_and_address() {
        let places = make_table();
        let [one, two, three] =
            [1, 1, 2].map(|connection| places.admit(applicant(1, connection, Standing::Unproven)).unwrap());
        one.hold_bytes(60).unwrap();
        two.hold_bytes(60).unwrap();
        assert!(is_evicted(&one), "the connection is over its share");
        assert_eq!(two.hold_bytes(60), Err(Shortage::OfConnection(1)));
        three.hold_bytes(100).unwrap();
        let four = places.admit(applicant(1, 3, Standing::Unproven)).unwrap();
        four.hold_bytes(100).unwrap();
        assert_eq!([&two, &three].map(is_evicted), [false, true], "the larger connection of the address");
        assert_eq!(one.hold_bytes(1), Err(Shortage::Total), "an evicted place holds nothing");
        let held = four.detach_bytes(100);
        let known = places.admit(applicant(2, 4, Standing::KnownAddress)).unwrap();
        assert_eq!(known.hold_bytes(101), Err(Shortage::OfConnection(4)), "a known client has its share and no more");
        drop(known);
        let trusted = places.admit(applicant(2, 5, Standing::Trusted)).unwrap();
        assert_eq!(trusted.hold_bytes(301), Err(Shortage::Total), "the writer's bytes count");
        assert!(is_evicted(&two));
        drop(held);
        trusted.hold_bytes(400).unwrap();
    }

    #[test]
    fn released_places_leave_no_entry() {
        let places = make_table();
        let all: Vec<_> =
            (0..9).map(|n| places.admit(applicant(n % 4, n.into(), Standing::Unproven)).unwrap()).collect();
        let last = all.last().unwrap();
        last.hold_bytes(50).unwrap();
        last.settle();
        drop(last.detach_bytes(50));
        drop(all);
        let state = places.0.lock();
        assert!(state.holders.is_empty() && state.by_address.is_empty() && state.by_connection.is_empty());
        assert_eq!((state.total, state.unproven), Default::default());
    }
}
