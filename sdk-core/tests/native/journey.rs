//! Records, from the call to the collector.

use crate::player::Player;
use crate::support::{
    Collector, Folder, PATIENCE, TOKEN, accepted, delivered, files, is_trouble, quiet, ready,
};
use refrain::engine::{Answer, Decision, DefaultConsent, FlushState, Notice, Outcome, Rejection, StoreFault};
use refrain::native::{Client, HttpTransport, PendingRequest, Transport};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

#[test]
fn a_record_arrives_with_its_properties() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    client.register(json!({"plan": "pro"}));
    client.register_once(json!({"plan": "free", "shop": 7}));
    client.track("Signed up", json!({"from": "ad"}));
    client.unregister("shop");
    client.identify("u1");
    ready(&client);
    delivered(&client);
    let events = collector.events();
    assert_eq!(collector.names(), ["Signed up", "$identify"]);
    let first = &events[0]["properties"];
    assert_eq!((&first["plan"], &first["from"], &first["shop"]), (&json!("pro"), &json!("ad"), &json!(7)));
    assert_eq!(first["$device_id"], json!(client.device_id()));
    assert_eq!(events[1]["properties"]["distinct_id"], "u1");
    assert!(events[1]["properties"].get("shop").is_none());
    assert_eq!(client.distinct_id().as_deref(), Some("u1"));
    let head = &collector.requests()[0].head;
    assert!(head.starts_with("POST /track/?verbose=1&ip=0 HTTP/1.1"), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    assert_eq!(head.to_lowercase().matches("content-length").count(), 1, "{head}");
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    assert!(client.stats().balance());
    assert_eq!(client.stats().delivered, 2);
}

#[test]
fn what_is_flushed_is_not_sent_again_by_whoever_comes_after_a_kill() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    for round in 0..30 {
        accepted(&client, "e");
        delivered(&client);
        // What a kill at this moment would leave.
        let left = Folder::new();
        for (path, bytes) in files(&folder.data()) {
            let copy = left.data().join(path.strip_prefix(folder.data()).unwrap());
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::write(copy, bytes).unwrap();
        }
        let next = quiet(&left, &collector).build().unwrap();
        ready(&next);
        assert_eq!(next.stats().recovered, 0, "round {round}");
    }
}

#[test]
fn several_requests_share_a_connection() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    for name in ["a", "b", "c"] {
        accepted(&client, name);
        delivered(&client);
    }
    assert_eq!((collector.names().len(), collector.connections()), (3, 1));
    // A connection that the collector has closed is not used again.
    collector.drain();
    accepted(&client, "d");
    delivered(&client);
    assert_eq!((collector.names().len(), collector.connections()), (4, 2));
}

#[test]
fn nothing_is_said_to_who_cannot_prove_its_name() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let https = collector.url().replace("http://", "https://");
    let client = quiet(&folder, &collector).endpoint(https).build().unwrap();
    ready(&client);
    accepted(&client, "kept");
    assert_eq!(client.flush(PATIENCE), FlushState::Failing);
    collector.drain();
    assert!(collector.requests().is_empty() && collector.connections() > 0);
    assert_eq!(client.stats().queued, 1);
}

#[test]
fn a_host_hears_once_that_a_certificate_is_not_trusted() {
    let pem =
        fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk-ffi/python/tests/localhost.pem")).unwrap();
    let (key, certificate) =
        (PrivateKeyDer::from_pem_slice(&pem).unwrap(), CertificateDer::from_pem_slice(&pem).unwrap());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let config = Arc::new(config);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            while tls.complete_io(&mut stream).is_ok_and(|(read, written)| read + written > 0) {}
        }
    });
    let (folder, collector) = (Folder::new(), Collector::start());
    let (tell, told) = std::sync::mpsc::channel();
    let client = quiet(&folder, &collector)
        .endpoint(endpoint)
        .transport(HttpTransport::new().no_proxy())
        .on_notice(move |notice| {
            if is_trouble(notice) {
                tell.send(notice.to_string()).unwrap();
            }
        })
        .build()
        .unwrap();
    ready(&client);
    for name in ["kept", "kept too"] {
        accepted(&client, name);
        assert_eq!(client.flush(PATIENCE), FlushState::Failing);
    }
    assert_eq!(client.stats().queued, 2);
    client.shutdown(PATIENCE);
    drop(client);
    let said: Vec<_> = told.iter().collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("the collector's certificate is not trusted: "), "{said:?}");
}

/// Where some crate of the program has the HTTP client keep cookies, they are kept by the part of it that is replaced.
#[test]
fn c6_a_collector_that_sets_a_cookie_meets_another_client_the_next_time() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let sent = |name| {
        accepted(&client, name);
        delivered(&client);
        collector.connections()
    };
    assert_eq!((sent("a"), sent("b")), (1, 1));
    collector.set_answer("Set-Cookie: sticky=1; Path=/\r\n", "1");
    assert_eq!((sent("c"), sent("d"), sent("e")), (1, 2, 3));
}

#[test]
fn an_address_where_nobody_listens_costs_a_try() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = quiet(&folder, &collector).endpoint(format!("http://{free}")).build().unwrap();
    ready(&client);
    accepted(&client, "kept");
    assert_eq!(client.flush(PATIENCE), FlushState::Failing);
    assert_eq!(client.stats().queued, 1);
}

#[test]
fn an_answer_may_be_long() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let answer = |length| format!(r#"{{"error":null,"status":1,"pad":"{}"}}"#, "x".repeat(length));
    accepted(&client, "a");
    collector.set_answer("", &answer(65_000));
    delivered(&client);
    assert_eq!(client.stats().delivered, 1);
    // No collector's is as long as that.
    accepted(&client, "b");
    collector.set_answer("", &answer(70_000));
    assert_eq!(client.flush(PATIENCE), FlushState::Failing);
    assert_eq!(client.stats().queued, 1);
}

#[test]
fn a_collector_may_say_on_which_date_it_is_back() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    accepted(&client, "kept");
    collector.set_status(503);
    // What the clock says here does not matter.
    let dates = ["Date: Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After: Sun, 06 Nov 1994 09:49:37 GMT", ""];
    collector.set_answer(&dates.join("\r\n"), "");
    assert_eq!(client.flush(PATIENCE), FlushState::Failing);
    let next = client.audit().next_action_in.unwrap();
    assert!((3_500..=3_600).contains(&next.as_secs()), "{next:?}");
}

#[test]
fn a_full_batch_leaves_by_itself() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).batch_size(3).build().unwrap();
    ready(&client);
    for name in ["a", "b", "c"] {
        accepted(&client, name);
    }
    assert_eq!(collector.wait_requests(1)[0].body.as_array().unwrap().len(), 3);
}

#[test]
fn what_was_recorded_outlives_the_client() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let device = client.device_id();
    for index in 0..1_500 {
        accepted(&client, &format!("e{index}"));
    }
    drop(client);

    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    assert_eq!((client.stats().recovered, client.stats().queued), (1_500, 1_500));
    assert_eq!(client.device_id(), device);
    accepted(&client, "last");
    delivered(&client);
    let names = collector.names();
    assert_eq!((names.len(), names[0].as_str(), names[1_500].as_str()), (1_501, "e0", "last"));
    client.shutdown(PATIENCE);

    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    assert_eq!(client.stats().recovered, 0, "what was delivered is not kept");
}

#[test]
fn a_failure_keeps_the_records_and_a_wait_is_remembered() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    accepted(&client, "kept");
    collector.set_status(503);
    assert_eq!(client.flush(PATIENCE), FlushState::Failing);
    assert_eq!((client.stats().queued, client.stats().delivered), (1, 0));
    collector.set_status(200);
    delivered(&client);
    assert_eq!(client.stats().delivered, 1);
    assert!(client.stats().balance());
}

#[test]
fn after_the_end_every_call_is_refused() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    accepted(&client, "before");
    assert_eq!(client.shutdown(PATIENCE), FlushState::Done);
    assert_eq!(client.track("after", ()), Outcome::Rejected(Rejection::Closed));
    assert!(client.opt_in().is_err());
    assert_eq!(client.stats().rejected, 1, "the call that would have recorded something");
    assert_eq!(client.shutdown(PATIENCE), FlushState::Underway);
    assert_eq!(collector.names(), ["before"]);
}

#[test]
fn a_host_hears_when_its_client_is_not_welcome() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let (tell, told) = std::sync::mpsc::channel();
    let client = quiet(&folder, &collector)
        .on_notice(move |notice| {
            if is_trouble(notice) {
                tell.send(notice.clone()).unwrap();
            }
        })
        .build()
        .unwrap();
    collector.set_status(401);
    ready(&client);
    accepted(&client, "kept");
    assert_eq!(client.flush(PATIENCE), FlushState::Failing);
    let notice = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(notice, Notice::Paused { status: 401 });
    assert_eq!(
        notice.to_string(),
        "the collector answers 401: check the token and the endpoint; sending is paused, nothing is lost"
    );
    assert_eq!(client.stats().queued, 1);
}

#[test]
fn a_host_hears_of_a_data_folder_that_cannot_be_read() {
    for default in [DefaultConsent::Granted, DefaultConsent::Pending] {
        let (folder, collector) = (Folder::new(), Collector::start());
        let (tell, told) = std::sync::mpsc::channel();
        fs::create_dir_all(folder.data().parent().unwrap()).unwrap();
        fs::write(folder.data(), "no folder").unwrap();
        let client = quiet(&folder, &collector)
            .default_consent(default)
            .on_notice(move |notice| {
                if is_trouble(notice) {
                    tell.send(notice.clone()).unwrap();
                }
            })
            .build()
            .unwrap();
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), Notice::StoreTrouble(StoreFault::Unreadable));
        assert_eq!(client.consent().reason(), "store_unavailable");
        client.shutdown(PATIENCE);
        drop(client);
        assert_eq!(told.iter().count(), 0, "once");
    }
}

#[test]
fn nobody_waits_for_a_collector_that_wants_to_be_left_alone_for_longer() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    collector.set_status(401);
    ready(&client);
    accepted(&client, "kept");
    assert_eq!(client.flush(PATIENCE), FlushState::Failing);
    // It would take longer than any test.
    let rests = Duration::from_secs(590);
    assert_eq!((client.flush(rests), client.shutdown(rests)), (FlushState::Underway, FlushState::Underway));
}

#[test]
fn a_hook_may_wait_for_the_client() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let hooked: Arc<OnceLock<Client>> = Arc::default();
    let (tell, told) = std::sync::mpsc::channel();
    let slot = Arc::clone(&hooked);
    let client = quiet(&folder, &collector)
        .on_notice(move |notice| {
            if let (true, Some(client)) = (is_trouble(notice), slot.get()) {
                assert!(client.sync(PATIENCE));
                let refused = client.opt_out(Default::default());
                tell.send((refused, client.consent().decision, client.shutdown(PATIENCE))).unwrap();
            }
        })
        .build()
        .unwrap();
    ready(&client);
    hooked.set(client.clone()).unwrap();
    collector.set_status(401);
    accepted(&client, "kept");
    client.flush(PATIENCE);
    let refused = told.recv_timeout(PATIENCE);
    assert_eq!(refused, Ok((Ok(()), Decision::Denied, FlushState::Done)));
    assert_eq!(client.track("after", ()), Outcome::Rejected(Rejection::Closed));
}

#[test]
fn a_transport_that_panics_costs_a_try() {
    struct Panics;
    impl Transport for Panics {
        fn send(&mut self, request: PendingRequest<'_>) -> Answer {
            let _open = request.open();
            panic!("the host's own code")
        }
    }
    let folder = Folder::new();
    let builder = Client::builder(TOKEN).data_dir(folder.data()).transport(Panics);
    let client = builder.default_consent(refrain::engine::DefaultConsent::Granted).build().unwrap();
    ready(&client);
    accepted(&client, "kept");
    assert_eq!(client.flush(PATIENCE), FlushState::Failing);
    accepted(&client, "more");
    assert_eq!(client.opt_out(Default::default()), Ok(()), "its lock is free again");
}

#[test]
fn an_answer_to_a_request_that_was_never_opened_is_none() {
    struct Liar;
    impl Transport for Liar {
        fn send(&mut self, _: PendingRequest<'_>) -> Answer {
            Answer::Response { status: 200, retry_after: None, body: "1".into() }
        }
    }
    let folder = Folder::new();
    let builder = Client::builder(TOKEN).data_dir(folder.data()).transport(Liar);
    let client = builder.default_consent(refrain::engine::DefaultConsent::Granted).build().unwrap();
    ready(&client);
    accepted(&client, "kept");
    assert_eq!(client.flush(PATIENCE), FlushState::Failing);
    assert_eq!((client.stats().queued, client.stats().delivered), (1, 0));
}

#[test]
fn who_takes_no_body_of_unknown_length_gets_one_of_a_known_length() {
    for status in [411, 415, 501] {
        let (folder, collector) = (Folder::new(), Collector::start());
        let client = quiet(&folder, &collector).build().unwrap();
        ready(&client);
        client.track("large", json!({"text": "x".repeat(2_000)}));
        collector.set_status(status);
        assert_eq!(client.flush(PATIENCE), FlushState::Failing, "{status}");
        assert_eq!((client.stats().queued, client.stats().dropped_total()), (1, 0), "{status}");
        collector.set_status(200);
        delivered(&client);
        let heads: Vec<_> = collector.requests().into_iter().map(|r| r.head.to_lowercase()).collect();
        assert!(heads[0].contains("transfer-encoding: chunked"), "{heads:?}");
        assert!(heads[1].contains("content-length: ") && !heads[1].contains("gzip"), "{heads:?}");
    }
}

#[test]
fn half_of_an_answer_is_neither_a_yes_nor_a_no() {
    for word in ["1", "0"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let proxy = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}}]") {
                let mut bytes = [0; 4_096];
                let read = stream.read(&mut bytes).unwrap();
                request.extend_from_slice(&bytes[..read]);
            }
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{word}");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let folder = Folder::new();
        let collector = Collector::start();
        let client = quiet(&folder, &collector).endpoint(url).build().unwrap();
        ready(&client);
        accepted(&client, "kept");
        assert_eq!(client.flush(PATIENCE), FlushState::Failing);
        assert_eq!((client.stats().queued, client.stats().dropped_total()), (1, 0), "{word}");
        proxy.join().unwrap();
    }
}

#[test]
fn nothing_is_sent_past_a_proxy_that_cannot_be_used() {
    let flushed = |variables: &[(&str, &str)]| {
        let (folder, collector) = (Folder::new(), Collector::start());
        let mut player = Player::start_where(variables, "obey", &folder, &collector);
        player.expect("ready");
        player.say("track 1 e");
        player.expect("true");
        player.say("flush");
        let state = player.hear().unwrap();
        (state, collector.requests().len())
    };
    for variable in [("ALL_PROXY", "socks5://127.0.0.1:9"), ("HTTP_PROXY", "garbage:::")] {
        assert_eq!(flushed(&[variable]), ("Failing".into(), 0), "{variable:?}");
        assert_eq!(flushed(&[variable, ("NO_PROXY", "localhost, 127.0.0.1")]), ("Done".into(), 1));
    }
    for url in ["socks5://127.0.0.1:9", "garbage:::"] {
        assert!(HttpTransport::new().proxy(url).is_err(), "{url}");
    }
}

#[test]
fn a_time_out_may_be_as_long_as_it_likes() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let transport = HttpTransport::new().timeout(Duration::MAX).connect_timeout(Duration::MAX);
    let client = quiet(&folder, &collector).transport(transport).build().unwrap();
    ready(&client);
    accepted(&client, "e");
    delivered(&client);
}

#[test]
fn a_collector_that_refuses_what_is_too_large_before_it_has_read_it_gets_less() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = vec![0; 1 << 10];
            let read = stream.read(&mut request).unwrap();
            let head = String::from_utf8_lossy(&request[..read]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.unwrap().parse().unwrap();
            let body_read = read - head.find("\r\n\r\n").unwrap() - 4;
            let answer = if length > 200_000 {
                "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            } else {
                stream.read_exact(&mut vec![0; length - body_read]).unwrap();
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n1"
            };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let (folder, collector) = (Folder::new(), Collector::start());
    let transport = HttpTransport::new().gzip(false);
    let client = quiet(&folder, &collector).endpoint(url).transport(transport).build().unwrap();
    ready(&client);
    let large = "x".repeat(50_000);
    for _ in 0..18 {
        client.track("e", json!({"large": large}));
    }
    for _ in 0..10 {
        if client.flush(PATIENCE) == FlushState::Done {
            break;
        }
    }
    assert_eq!(client.stats().delivered, 18);
}
