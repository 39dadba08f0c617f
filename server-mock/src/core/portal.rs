//! The account holder as a person with data of their own: account, tasks, and the portal's usage log, with the switch
//! that turns its recording off.

use serde_json::{Value, json};

use super::Core;
use super::tasks::state_name;
use crate::domain::time;
use crate::store::{Counts, StoreError, TaskKind};

/// Tasks that are looked through for those of an account.
const TASKS: usize = 10_000;

impl Core {
    /// Records what an account holder did in the portal, unless they said no.
    pub fn record_use(&mut self, account: &str, action: &str) -> Result<(), StoreError> {
        if !self.store.records_use(account)? {
            return Ok(());
        }
        let now = self.shared.now();
        self.store.put_use(account, now, action)
    }

    /// Everything that is held about an account: what the configuration says of it, its tasks, its usage log.
    pub fn account_data(&mut self, account: &str) -> Result<Value, StoreError> {
        let config = self.shared.config();
        let now = self.shared.now();
        let tokens = config.gdpr_oauth.iter().filter(|oauth| oauth.user == account);
        let access: Vec<Value> = tokens
            .map(|oauth| json!({"kind": "oauth", "expires": oauth.expires.map(time::format_iso), "projects": oauth.projects}))
            .chain(config.service_accounts.iter().filter(|known| known.username == account).map(|known| {
                json!({"kind": "service_account", "role": known.role, "projects": known.projects})
            }))
            .collect();
        let tasks: Vec<Value> = self
            .store
            .tasks(TASKS)?
            .into_iter()
            .filter(|task| task.about["user"] == account)
            .map(|task| {
                let kind = match task.kind {
                    TaskKind::Retrieval => "retrieval",
                    _ => "deletion",
                };
                json!({
                    "id": task.id,
                    "kind": kind,
                    "status": state_name(&task, now),
                    "requested_at": time::format_iso(task.requested),
                    "distinct_id_count": task.id_count,
                })
            })
            .collect();
        let uses: Vec<Value> = self
            .store
            .uses(account)?
            .into_iter()
            .map(|one| json!({"at": time::format_iso(one.at), "action": one.action}))
            .collect();
        Ok(json!({
            "account": account,
            "access": access,
            "record_usage": self.store.records_use(account)?,
            "tasks": tasks,
            "usage": uses,
        }))
    }

    /// Turns the recording of an account's use on or off.
    pub fn set_recording(&mut self, account: &str, recorded: bool) -> Result<(), StoreError> {
        if self.store.set_records_use(account, recorded)? {
            let rule = if recorded { "an account holder allowed it" } else { "an account holder objected" };
            let now = self.shared.now();
            self.note(now, None, "usage_recording.changed", rule, None, Counts::default())?;
        }
        Ok(())
    }

    /// Erases the usage log of an account; answers how many entries it had.
    pub fn erase_usage(&mut self, account: &str) -> Result<usize, StoreError> {
        let count = self.store.delete_uses(account)?;
        let rule = format!("{count} entries, on an account holder's request");
        let now = self.shared.now();
        self.note(now, None, "usage_log.erased", &rule, None, Counts::default())?;
        Ok(count)
    }
}
