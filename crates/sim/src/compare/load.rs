//! Agents over RESP that draw steadily while something happens to their servers. Each has a server
//! that it prefers; when that fails it goes on to the next one.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use ticketd_core::definition::KindName;
use ticketd_core::name::Name;
use ticketd_server::clock::Clock;

use super::wire::Client;
use crate::live::Stop;

/// How long an agent waits after a request that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// The pause between two requests of an agent.
const PAUSE: Duration = Duration::from_millis(1);

/// A request, with the times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Request {
    pub agent: usize,
    pub server: usize,
    pub asked_us: u64,
    pub answered_us: u64,
    /// `None` if it failed.
    pub id: Option<u128>,
}

/// Who draws what from whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load<'a> {
    pub kind: KindName,
    pub table: &'a Name,
    pub servers: &'a [SocketAddr],
    pub agents: usize,
    pub clock: Clock,
}

impl Load<'_> {
    /// Draws until `act` has returned; answers all requests, in the order of their answers, and what
    /// it returned.
    pub(super) fn during<T>(self, act: impl FnOnce() -> T) -> (Vec<Request>, T) {
        let stop = Stop::default();
        let (mut requests, acted) = thread::scope(|scope| {
            let draw = |agent| {
                let stop = stop.clone();
                scope.spawn(move || self.draw(agent, &stop))
            };
            let running: Vec<_> = (0..self.agents).map(draw).collect();
            let acted = act();
            stop.request();
            let each = running.into_iter().flat_map(|agent| agent.join().expect("no agent panics"));
            (each.collect::<Vec<_>>(), acted)
        });
        requests.sort_unstable_by_key(|request| request.answered_us);
        (requests, acted)
    }

    fn draw(self, agent: usize, stop: &Stop) -> Vec<Request> {
        let mut requests = Vec::new();
        let mut client = None;
        let mut server = agent % self.servers.len();
        while !stop.is_requested() {
            let asked_us = self.clock.now().as_micros();
            let id = self.ask(&mut client, server);
            let answered_us = self.clock.now().as_micros();
            requests.push(Request { agent, server, asked_us, answered_us, id });
            if id.is_none() {
                client = None;
                server = (server + 1) % self.servers.len();
                stop.sleep(RETRY_PAUSE);
            } else {
                stop.sleep(PAUSE);
            }
        }
        requests
    }

    fn ask(self, client: &mut Option<Client>, server: usize) -> Option<u128> {
        if client.is_none() {
            *client = Client::connect(self.servers[server], self.kind).ok();
        }
        let mut ids = Vec::new();
        client.as_mut()?.draw(self.table, 1, &mut ids).ok()?;
        ids.pop()
    }
}

/// The longest time between two IDs of one agent of which the second came after `from_us`. An agent
/// that got none after it waited until `end_us`.
pub(super) fn longest_wait_us(requests: &[Request], from_us: u64, end_us: u64) -> u64 {
    let agents = requests.iter().map(|request| request.agent).max().map_or(0, |last| last + 1);
    let of_agent = |agent: usize| {
        let served = |request: &&Request| request.agent == agent && request.id.is_some();
        let times = requests.iter().filter(served).map(|request| request.answered_us);
        let times: Vec<u64> = times.chain([end_us]).collect();
        let waits = times.windows(2).filter(|pair| pair[1] > from_us);
        waits.map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(0)
    };
    (0..agents).map(of_agent).max().unwrap_or(0)
}

/// All IDs that were answered.
pub(super) fn ids_of(requests: &[Request]) -> Vec<u128> {
    requests.iter().filter_map(|request| request.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_is_that_of_the_agent_who_waited_longest_after_the_moment() {
        let request =
            |agent, at, id| Request { agent, server: 0, asked_us: at - 1, answered_us: at, id };
        let requests = [
            request(0, 100, Some(1)),
            request(0, 900, Some(2)), // 800 us, but before the moment
            request(1, 1000, Some(3)),
            request(0, 1010, Some(4)),
            request(1, 1100, None),
            request(1, 1400, Some(5)), // 400 us
            request(0, 1350, Some(6)), // 340 us
        ];
        assert_eq!(longest_wait_us(&requests, 950, 1450), 400);
        assert_eq!(longest_wait_us(&requests, 950, 2450), 1100, "an agent that is never served");
        assert_eq!(ids_of(&requests), [1, 2, 3, 4, 5, 6]);
    }
}
