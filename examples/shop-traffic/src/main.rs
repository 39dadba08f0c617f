//! A few simulated customers, each with a native client and a data folder of their own.
//!
//! `shop-traffic ENDPOINT TOKEN FOLDER NAME...` reads one command a line and answers each with one line of JSON:
//! `visit NAME`, `opt-in NAME`, `opt-out NAME`, `flush`. It ends with its standard input.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Duration;

use refrain::engine::{DefaultConsent, FlushState, Outcome};
use refrain::native::{Client, OptOut};
use serde_json::{Value, json};

/// How long to wait for the collector; it is on this machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, token, folder, names @ ..] = arguments.as_slice() else {
        return Err("usage: shop-traffic ENDPOINT TOKEN FOLDER NAME...".into());
    };
    let mut people = BTreeMap::new();
    for name in names {
        people.insert(name.as_str(), Person::enter(name, endpoint, token, &Path::new(folder).join(name))?);
    }
    for line in std::io::stdin().lock().lines() {
        let answer = match line?.split_whitespace().collect::<Vec<_>>()[..] {
            ["flush"] => json!({"delivered": people.values().all(Person::flush)}),
            [command, name] => match people.get_mut(name) {
                Some(person) => person.obey(command)?,
                None => json!({"error": format!("nobody is called {name}")}),
            },
            _ => json!({"error": "a command is `flush`, or `visit`, `opt-in`, `opt-out` with a name"}),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    for person in people.values() {
        person.client.shutdown(PATIENCE);
    }
    Ok(())
}

struct Person {
    client: Client,
    visits: usize,
}

impl Person {
    /// A customer who has agreed, and who is known to the shop under this name.
    fn enter(name: &str, endpoint: &str, token: &str, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let client = Client::builder(token)
            .endpoint(endpoint)
            .data_dir(folder)
            .default_consent(DefaultConsent::Denied)
            .flush_interval(Duration::from_millis(500))
            .build()?;
        client.opt_in()?;
        client.identify(name);
        Ok(Self { client, visits: 0 })
    }

    fn obey(&mut self, command: &str) -> Result<Value, Box<dyn Error>> {
        match command {
            "visit" => return Ok(self.visit()),
            "opt-in" => self.client.opt_in()?,
            "opt-out" => self.client.opt_out(OptOut::default())?,
            unknown => return Ok(json!({"error": format!("no command `{unknown}`")})),
        }
        Ok(json!({"consent": self.client.consent().sentence()}))
    }

    /// Looks at something, sometimes buys it.
    fn visit(&mut self) -> Value {
        const GOODS: [(&str, f64); 4] =
            [("umbrella", 12.5), ("teapot", 24.0), ("lamp", 39.9), ("blanket", 18.0)];
        let (item, price) = GOODS[self.visits % GOODS.len()];
        self.visits += 1;
        let mut outcomes = vec![
            self.client.track("Opened the shop", json!({"visit": self.visits})),
            self.client.track("Viewed", json!({"item": item})),
        ];
        if self.visits % 2 == 1 {
            outcomes.push(self.client.track("Bought", json!({"item": item, "price": price})));
        }
        let accepted = outcomes.iter().filter(|it| matches!(it, Outcome::Accepted)).count();
        let refused = outcomes.iter().filter(|it| matches!(it, Outcome::Rejected(_))).count();
        json!({"accepted": accepted, "refused": refused})
    }

    fn flush(&self) -> bool {
        self.client.flush(PATIENCE) == FlushState::Done
    }
}
