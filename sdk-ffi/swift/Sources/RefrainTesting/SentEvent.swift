import Refrain

/// An event as it was sent.
public struct SentEvent: Sendable, Hashable {
    /// The event's name, such as `Bought`.
    public let name: String
    /// The properties from the app and those from the client, such as `$device_id`.
    public let properties: [String: Refrain.Value]

    init(_ members: [String: Refrain.Value]) {
        if case let .string(text)? = members["event"] { name = text } else { name = "" }
        properties = members["properties"]?.members ?? [:]
    }
}
