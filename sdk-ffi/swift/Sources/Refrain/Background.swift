internal import RefrainFFI

#if canImport(UIKit) && !os(watchOS)
    import UIKit

    /// Sends what is queued when the app goes to the background, in the time that the system gives for that.
    final class Background: Sendable {
        private nonisolated(unsafe) let observer: any NSObjectProtocol

        init?(_ client: Client) {
            observer = NotificationCenter.default.addObserver(
                forName: UIApplication.didEnterBackgroundNotification, object: nil, queue: nil
            ) { [weak client] _ in
                guard let client else { return }
                ProcessInfo.processInfo.performExpiringActivity(withReason: "Refrain sends what is queued") {
                    isExpired in
                    if !isExpired { _ = client.flush(timeout: 10) }
                }
            }
        }

        func end() {
            NotificationCenter.default.removeObserver(observer)
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
