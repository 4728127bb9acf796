//! What tasks of the world reach it by.

use std::cell::{RefCell, RefMut};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::schedule::Happening;
use super::tasks::Job;
use super::world::{Life, World};
use crate::explore::schedule::Planned;

/// The world, for its tasks. It is never borrowed across an await.
#[derive(Clone)]
pub(super) struct Hub(Rc<RefCell<World>>);

impl Hub {
    pub(super) fn new(world: World) -> Self {
        Self(Rc::new(RefCell::new(world)))
    }

    pub(super) fn world(&self) -> RefMut<'_, World> {
        self.0.borrow_mut()
    }

    /// The true time.
    pub(super) fn now(&self) -> u64 {
        self.0.borrow().now
    }

    pub(super) fn spawn(&self, life: Life, job: impl Future<Output = ()> + 'static) {
        let job: Job = Box::pin(job);
        self.world().spawned.push((life, job));
    }

    /// Waits until the true time `at`.
    pub(super) fn sleep_until(&self, at: u64) -> impl Future<Output = ()> + use<> {
        Sleep { hub: self.clone(), at, planned: None }
    }

    pub(super) async fn sleep(&self, micros: u64) {
        let at = self.now().saturating_add(micros);
        self.sleep_until(at).await;
    }

    /// A thread of `life` stands still between two instructions, if the world says so: alone, or
    /// with its whole process.
    pub(super) async fn stall(&self, life: Life) {
        let Some(alone) = self.world().stalls(life) else { return };
        match alone {
            0 => pass_on().await,
            micros => self.sleep(micros).await,
        }
    }
}

struct Sleep {
    hub: Hub,
    at: u64,
    planned: Option<Planned>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.hub.now() >= self.at {
            self.planned = None;
            return Poll::Ready(());
        }
        if self.planned.is_none() {
            let wake = Happening::Wake(cx.waker().clone());
            let planned = self.hub.world().schedule.plan(self.at, wake);
            self.planned = Some(planned);
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // Nobody is left to be woken. At the end of a world it is held by whoever clears it.
        if let (Some(planned), Ok(mut world)) = (self.planned, self.hub.0.try_borrow_mut()) {
            world.schedule.call_off(planned);
        }
    }
}

/// Lets the others that are ready have their turn.
pub(super) async fn pass_on() {
    let mut passed = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
