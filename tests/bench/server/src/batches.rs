//! What is sent: batches of 50 events as a browser SDK makes them, one device each. The same number makes the same batch.

use std::fmt::Write;
use std::net::SocketAddr;

use refrain_mock::domain::device::Secret;

/// Events in a batch.
pub const BATCH: u64 = 50;
/// Batches that a device sends in all.
pub const BATCHES_OF_A_DEVICE: u64 = 2;

/// The secret of a device, as hexadecimal digits.
pub fn secret_of(device: u64) -> String {
    format!("{:032x}", u128::from(device) + 1)
}

/// The id that follows from the secret.
pub fn id_of(device: u64) -> String {
    Secret::parse(&secret_of(device)).map(Secret::device_id).unwrap_or_default()
}

/// A whole request, ready to be written to a connection. `now` is in seconds since 1970.
pub fn request(to: SocketAddr, batch: u64, now: u64) -> Vec<u8> {
    let device = id_of(batch / BATCHES_OF_A_DEVICE);
    let mut body = String::with_capacity(24 * 1024);
    body.push('[');
    for n in 0..BATCH {
        let event = batch * BATCH + n;
        let name = ["Opened", "Looked at a product", "Put in the basket", "Bought", "Searched"]
            [(event % 5) as usize];
        // Writing to a string does not fail.
        let _ = write!(
            body,
            "{}{{\"event\":\"{name}\",\"properties\":{{\"token\":\"bench\",\"time\":{},\"distinct_id\":\"$device:{device}\",\
             \"$device_id\":\"{device}\",\"$insert_id\":\"{event:036x}\",\"$os\":\"Linux\",\"$browser\":\"Firefox\",\
             \"$browser_version\":128,\"$current_url\":\"https://shop.example/products/{}\",\"$screen_width\":1920,\
             \"$screen_height\":1080,\"mp_lib\":\"web\",\"$lib_version\":\"1.0.0\",\"price\":{}.5,\"currency\":\"EUR\"}}}}",
            if n == 0 { "" } else { "," },
            now - n,
            event % 1000,
            event % 90,
        );
    }
    body.push(']');
    post(to, "/track?ip=0", &body)
}

/// A POST with a JSON body.
pub fn post(to: SocketAddr, target: &str, body: &str) -> Vec<u8> {
    message(to, "POST", target, body)
}

/// Any request with a JSON body.
pub fn message(to: SocketAddr, method: &str, target: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {target} HTTP/1.1\r\nhost: {to}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
