internal import RefrainFFI

#if canImport(UIKit) && !os(watchOS)
    import UIKit

    /// Tells when the app goes to the background, and when it comes back; sends what is queued in the time that the system
    /// gives for that.
    final class Background: Sendable {
        private nonisolated(unsafe) let observers: [any NSObjectProtocol]

        init?(_ client: Client) {
            let center = NotificationCenter.default
            let leaves = center.addObserver(
                forName: UIApplication.didEnterBackgroundNotification, object: nil, queue: nil
            ) { [weak client] _ in
                guard let client else { return }
                client.inBackground(isThere: true)
                ProcessInfo.processInfo.performExpiringActivity(withReason: "Refrain sends what is queued") {
                    isExpired in
                    if !isExpired { _ = client.flush(timeout: 10) }
                }
            }
            let returns = center.addObserver(
                forName: UIApplication.willEnterForegroundNotification, object: nil, queue: nil
            ) { [weak client] _ in client?.inBackground(isThere: false) }
            observers = [leaves, returns]
        }

        func end() {
            observers.forEach(NotificationCenter.default.removeObserver)
        }

        deinit { end() }
    }
#else
    /// Nothing goes to the background here.
    struct Background: Sendable {
        init?(_: Client) { return nil }

        func end() {}
    }
#endif
