//! A budget of bytes that tasks share, so that what they hold in memory at once is bounded.
//!
//! Shares are given in the order of the requests: small requests do not overtake a large one. A request for more than
//! the whole budget gets all of it and waits until it is the only one.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Size of one permit. A semaphore counts at most 2³² permits at once.
const UNIT_BYTES: u64 = 1 << 10;

/// A budget of bytes. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    permits: Arc<Semaphore>,
    units: u32,
}

/// Bytes of a budget, given back on drop.
#[derive(Debug)]
pub struct ByteShare {
    _permits: OwnedSemaphorePermit,
}

impl ByteBudget {
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let units = to_units(bytes).max(1);
        Self { permits: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// Waits for a share of `bytes`, at most the whole budget. Returns `None` if the budget was closed.
    pub async fn acquire(&self, bytes: u64) -> Option<ByteShare> {
        // A semaphore gives zero permits at once. An empty request also waits for its turn, so it takes one.
        let units = to_units(bytes).clamp(1, self.units);
        let permits = self.permits.clone().acquire_many_owned(units).await.ok()?;
        Some(ByteShare { _permits: permits })
    }

    /// Refuses all requests from now on, also those that wait.
    pub fn close(&self) {
        self.permits.close();
    }
}

fn to_units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    type Waiter = Pin<Box<dyn Future<Output = Option<ByteShare>>>>;

    /// A request for a share: it waits, it has its share, or it is done.
    enum Request {
        Waits(Waiter),
        Has { _share: ByteShare },
        Done,
    }

    /// Lets each waiting request look for its share. Returns the numbers of those that got it.
    fn poll_requests(requests: &mut [Request]) -> Vec<usize> {
        let mut context = Context::from_waker(Waker::noop());
        let mut served = Vec::new();
        for (number, request) in requests.iter_mut().enumerate() {
            if let Request::Waits(waiter) = request
                && let Poll::Ready(share) = waiter.as_mut().poll(&mut context)
            {
                *request = Request::Has { _share: share.expect("the budget is open") };
                served.push(number);
            }
        }
        served
    }

    proptest! {
        #![proptest_config(crate::seed::seeded_config(256))]

        #[test]
        fn budget_is_never_exceeded_and_every_request_gets_its_turn(
            sizes in prop::collection::vec(prop_oneof![1 => Just(0), 9 => 0_u64..40 << 10], 1..40),
            releases in prop::collection::vec(any::<prop::sample::Index>(), 40),
        ) {
            const TOTAL: u64 = 16 << 10;
            let budget = ByteBudget::new(TOTAL);
            let mut requests: Vec<Request> = sizes
                .iter()
                .map(|size| {
                    let (budget, size) = (budget.clone(), *size);
                    Request::Waits(Box::pin(async move { budget.acquire(size).await }))
                })
                .collect();
            let mut served = poll_requests(&mut requests);
            for release in releases.iter().cycle() {
                let holders: Vec<usize> =
                    (0..requests.len()).filter(|n| matches!(requests[*n], Request::Has { .. })).collect();
                let held: u64 = holders.iter().map(|n| sizes[*n]).sum();
                prop_assert!(held <= TOTAL || holders.len() == 1, "{held} bytes in {} shares", holders.len());
                if holders.is_empty() {
                    break;
                }
                requests[holders[release.index(holders.len())]] = Request::Done;
                served.extend(poll_requests(&mut requests));
            }
            prop_assert_eq!(served, (0..sizes.len()).collect::<Vec<_>>(), "all, in the order of the requests");
        }
    }

    #[test]
    fn closed_budget_refuses_waiting_requests() {
        let budget = ByteBudget::new(1);
        let mut context = Context::from_waker(Waker::noop());
        let mut poll = |waiter: &mut Waiter| waiter.as_mut().poll(&mut context);
        let acquire = |budget: ByteBudget| -> Waiter { Box::pin(async move { budget.acquire(1).await }) };
        let Poll::Ready(Some(_share)) = poll(&mut acquire(budget.clone())) else { panic!("no share at once") };
        let mut waiter = acquire(budget.clone());
        assert!(poll(&mut waiter).is_pending());
        budget.close();
        assert!(matches!(poll(&mut waiter), Poll::Ready(None)));
    }
}
