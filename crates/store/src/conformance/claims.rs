//! The cases of claims: who may issue.

use std::sync::Arc;

use ticketd_core::cluster::{Claim, Claimed, ServerId};
use ticketd_core::definition::{BlockLen, Definition};
use ticketd_core::failure::FailureKind;
use ticketd_core::limits::ID_MIN;
use ticketd_core::record::{HandBack, Reserve};

use super::{Nature, ask, claimed, kind_of, name, ok};
use crate::contract::Store;

pub(super) async fn who_claims_issues_in_its_turn_and_hands_back<S: Store>(
    store: Arc<S>,
    nature: Nature,
) {
    let name = name("owned");
    ok("create", store.create(&name, Definition::default()).await);
    let mut end = ID_MIN;
    for _ in 0..3 {
        let turn = claimed(&*store, &name).await;
        let block = ok("reserve", store.reserve(&name, Reserve { turn, ..ask(1, 10) }).await);
        assert!(block.start() >= end, "{block} was given before, up to {end}");
        let unissued = HandBack { start: block.start() + 4, end: block.end(), turn };
        let done = ok("hand_back", store.hand_back(&name, unissued).await);
        assert!(done || nature == Nature::Retried);
        end = if done { unissued.start } else { block.end() };
    }
}

pub(super) async fn a_claim_makes_the_sequence_or_does_not<S: Store>(store: Arc<S>, _: Nature) {
    let (name, server) = (name("new"), ServerId(7));
    let none = store.claim(&name, Claim::of(server)).await;
    assert_eq!(kind_of("claim", none), FailureKind::NotFound);
    let definition = Definition { block_len: Some(BlockLen::Fixed(7)), ..Definition::default() };
    for create in [Some(definition), None, Some(Definition::default())] {
        match ok("claim", store.claim(&name, Claim { create, ..Claim::of(server) }).await) {
            Claimed::Mine(record, _) => assert_eq!(record.definition, definition),
            Claimed::Theirs(server, _) => panic!("nobody else is there, not {server}"),
        }
    }
}
