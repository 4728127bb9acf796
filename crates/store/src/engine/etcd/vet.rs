//! What is looked at before ticketd trusts a cluster of etcd.

use std::net::IpAddr;

use ticketd_core::failure::FailureKind;

use super::Etcd;
use super::client::Effect;
use super::fault::{Fault, Next};
use super::wire::{
    AlarmRequest, AlarmType, Compare, MemberListRequest, PutRequest, RangeRequest, Request,
    StatusRequest, StatusResponse, TxnRequest,
};
use crate::error::StoreError;

/// The oldest version whose answers are known here.
const OLDEST: (u32, u32, u32) = (3, 4, 0);

/// Versions that can lose or contradict data after a crash, as etcd's own announcement of March
/// 2022 says.
const HARMFUL: std::ops::RangeInclusive<(u32, u32, u32)> = (3, 5, 0)..=(3, 5, 2);

/// So many changes without a compaction are a sign that nobody compacts.
const HISTORY_MAX: i64 = 10_000;

/// See [`Engine::vet`](crate::engine::Engine::vet).
pub async fn vet(etcd: &Etcd) -> Result<Vec<String>, StoreError> {
    let mut lines = Vec::new();
    lines.extend(of_each_member(etcd).await?);
    lines.extend(of_alarms(etcd).await?);
    lines.extend(of_membership(etcd).await);
    lines.extend(may_write(etcd).await?);
    lines.extend(of_history(etcd).await?);
    lines.extend(of_passwords(etcd));
    Ok(lines)
}

async fn of_each_member(etcd: &Etcd) -> Result<Vec<String>, StoreError> {
    let mut lines = Vec::new();
    for member in etcd.client.members() {
        match etcd.client.ask(member, &StatusRequest {}).await {
            Ok(status) => lines.extend(of_status(&member.place, &status)?),
            Err(error) => lines.push(error.to_failure().message.to_string()),
        }
    }
    Ok(lines)
}

fn of_status(place: &str, status: &StatusResponse) -> Result<Option<String>, StoreError> {
    let version = version(&status.version).unwrap_or_default();
    let shown = format!("etcd {} at {place}", status.version.escape_default());
    if version < OLDEST {
        let message = format!("too old, 3.4 or later is needed: {shown}");
        return Err(StoreError::new(FailureKind::Invalid, message));
    }
    Ok(if HARMFUL.contains(&version) {
        Some(format!("this version can lose data in a crash, update it: {shown}"))
    } else if status.is_learner {
        Some(format!("a learner answers no reads, promote it or name another: {shown}"))
    } else {
        None
    })
}

/// The numbers of `3.4.23` or `3.6.0-rc.1`.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let (numbers, _) = text.split_once(['-', '+']).unwrap_or((text, ""));
    let mut numbers = numbers.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

async fn of_alarms(etcd: &Etcd) -> Result<Option<String>, StoreError> {
    let alarms = match etcd.client.call(&AlarmRequest {}, Effect::None).await {
        Ok(answer) => answer.alarms,
        Err(fault) => return Ok(Some(untold("alarms", fault))),
    };
    let is_on = |alarm: AlarmType| alarms.iter().any(|member| member.alarm == i32::from(alarm));
    if is_on(AlarmType::Corrupt) {
        let message = "members of etcd contradict each other: a person must look";
        return Err(StoreError::new(FailureKind::Corrupt, message));
    }
    let line = "etcd is out of its quota: compact, defragment and disarm the alarm";
    Ok(is_on(AlarmType::NoSpace).then(|| line.to_owned()))
}

async fn of_membership(etcd: &Etcd) -> Option<String> {
    let members = match etcd.client.call(&MemberListRequest {}, Effect::None).await {
        Ok(answer) => answer.members,
        Err(fault) => return Some(untold("members", fault)),
    };
    let voting = members.iter().filter(|member| !member.is_learner).count();
    match voting {
        1 => Some("etcd has one member, whose loss stops ticketd: use three".to_owned()),
        2 => Some("etcd has two members, and the loss of either stops it: use three".to_owned()),
        _ if etcd.client.members().len() == 1 => Some(format!(
            "the URL names one member, whose loss stops ticketd: name all {voting} of etcd"
        )),
        _ => None,
    }
}

/// Later versions of etcd tell some of this only to some users.
fn untold(what: &str, fault: Fault) -> String {
    match fault.error.kind {
        FailureKind::Invalid => format!("etcd shows this user no {what}: look at them yourself"),
        _ => format!("etcd does not tell of its {what}: {}", fault.error.to_failure().message),
    }
}

/// Asks to write under a condition that never holds: etcd looks at the permission first.
async fn may_write(etcd: &Etcd) -> Result<Option<String>, StoreError> {
    let key = etcd.place("");
    let put = PutRequest { key: key.clone(), value: Vec::new() };
    let request = TxnRequest {
        compare: vec![Compare::changed_at(key, i64::MAX)],
        success: vec![Request::Put(put).into()],
    };
    match etcd.ask(&request, Effect::Change).await {
        Ok((answer, _)) if answer.succeeded => {
            Err(super::contradicts("a condition holds that cannot"))
        }
        Ok(_) => Ok(None),
        // The alarms have told.
        Err(fault) if fault.next == Next::ToLook => Ok(None),
        Err(fault) if matches!(fault.error.kind, FailureKind::Invalid | FailureKind::Corrupt) => {
            Err(fault.error)
        }
        Err(fault) => Ok(Some(fault.error.to_failure().message.to_string())),
    }
}

/// Whether all that was ever changed is still kept: then the quota will be reached some day.
async fn of_history(etcd: &Etcd) -> Result<Option<String>, StoreError> {
    let range = |revision| RangeRequest { key: etcd.place(""), revision, ..Default::default() };
    let (_, revision) = etcd.ask(&range(0), Effect::None).await?;
    let is_whole =
        revision > HISTORY_MAX && etcd.client.call(&range(1), Effect::None).await.is_ok();
    let line = "etcd keeps every change until its quota is reached: start it with \
                --auto-compaction-retention=1h";
    Ok(is_whole.then(|| line.to_owned()))
}

fn of_passwords(etcd: &Etcd) -> Option<String> {
    let session = etcd.client.session();
    let is_near = |place: &str| {
        let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    if session.is_needless() {
        Some("etcd does not ask for users, anybody may change it: etcdctl auth enable".to_owned())
    } else if session.has_password()
        && !etcd.is_encrypted
        && !etcd.client.members().iter().all(|member| is_near(&member.place))
    {
        Some("the password of etcd goes over the network as it is: use tls=on".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: &str, is_learner: bool) -> Result<Option<String>, FailureKind> {
        let status = StatusResponse { header: None, version: version.to_owned(), is_learner };
        of_status("m:1", &status).map_err(|error| error.kind)
    }

    #[test]
    fn versions_are_refused_warned_of_or_fine() {
        for old in ["3.3.27", "2.3.8", "", "x", "3.4"] {
            assert_eq!(told(old, false), Err(FailureKind::Invalid), "{old}");
        }
        for fine in ["3.4.0", "3.4.23", "3.5.3", "3.6.0-rc.1", "4.0.0"] {
            assert_eq!(told(fine, false), Ok(None), "{fine}");
        }
        for harmful in ["3.5.0", "3.5.2"] {
            assert!(told(harmful, false).unwrap().unwrap().contains("update"), "{harmful}");
        }
        assert!(told("3.5.9", true).unwrap().unwrap().contains("learner"));
    }
}
