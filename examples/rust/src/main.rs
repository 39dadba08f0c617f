//! Records something, asks the person, sends, and takes it all back.
//!
//! ```text
//! cargo run -p refrain-mock -- serve --listen 127.0.0.1:8787 &
//! cargo run -p refrain-example-rust -- http://127.0.0.1:8787
//! ```

use refrain::native::{Client, OptOut};
use serde_json::json;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8787".into());
    let folder = std::env::temp_dir().join("refrain-example");
    let patience = Duration::from_secs(5);

    let client = Client::builder("EXAMPLE_TOKEN").endpoint(endpoint).data_dir(&folder).build()?;
    client.sync(patience);
    println!("{}", client.consent().sentence());

    // Nobody has decided: the call waits in memory, nothing is written, nothing is sent.
    println!("before: {:?}", client.track("Shop opened", json!({"language": "en"})));

    client.opt_in()?;
    client.identify("customer-7");
    client.register(json!({"plan": "pro"}));
    println!("agreed: {:?}", client.track("Order placed", json!({"total": 42, "currency": "EUR"})));
    println!("flush:  {:?}, {:?}", client.flush(patience), client.stats());

    client.opt_out(OptOut::default().erase(true))?;
    println!("{}", client.consent().sentence());
    println!("after:  {:?}", client.track("Order placed", ()));
    let audit = client.audit();
    for file in audit.files {
        println!("left:   {} ({} bytes, {})", file.name, file.bytes, file.kind);
    }
    for erasure in audit.outbox {
        println!("outbox: erase what device {} has sent: {}", erasure.device_id, erasure.state);
    }
    client.shutdown(patience);
    Ok(())
}
