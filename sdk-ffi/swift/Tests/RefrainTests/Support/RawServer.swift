import Foundation

@testable import Refrain

#if canImport(Glibc)
    import Glibc
    private let stream = Int32(SOCK_STREAM.rawValue)
    private let sending = Int32(MSG_NOSIGNAL)
#else
    import Darwin
    private let stream = SOCK_STREAM
    private let sending: Int32 = 0
#endif

/// A socket on a free port that does as it is told, byte for byte. What nobody tells it to do it does not do.
final class RawServer: Sendable {
    let url: String
    private let listener: Int32
    private let address: sockaddr_in

    struct Failure: Error {}

    init() throws {
        listener = socket(AF_INET, stream, 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 16) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard isBound else { throw Failure() }
        self.address = address
        url = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
    }

    deinit {
        close(listener)
    }

    /// Whether nobody has connected that was not taken yet.
    func isUntouched() -> Bool {
        let flags = fcntl(listener, F_GETFL)
        _ = fcntl(listener, F_SETFL, flags | O_NONBLOCK)
        defer { _ = fcntl(listener, F_SETFL, flags) }
        let socket = accept(listener, nil, nil)
        if socket >= 0 { close(socket) }
        return socket < 0 && errno == EWOULDBLOCK
    }

    /// Takes no more connections: as many wait as may, for as long as the answer lives.
    func filled() throws -> Sockets {
        guard listen(listener, 0) == 0 else { throw Failure() }
        let sockets = Sockets((0..<4).map { _ in socket(AF_INET, stream, 0) })
        for socket in sockets.all {
            _ = fcntl(socket, F_SETFL, O_NONBLOCK)
            var address = address
            _ = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        return sockets
    }

    /// Waits for a request, and reads it to its end, or to that of its head.
    func request(wholly: Bool = true) async throws -> Connection {
        let listener = listener
        return try await waiting {
            Result { try Connection(accepted: accept(listener, nil, nil), wholly: wholly) }
        }.get()
    }
}

/// Sockets that are open as long as this lives.
final class Sockets: Sendable {
    let all: [Int32]

    init(_ all: [Int32]) {
        self.all = all
    }

    deinit {
        for socket in all { close(socket) }
    }
}

/// A request that was read.
final class Connection: Sendable {
    let text: String
    private let socket: Int32

    init(accepted socket: Int32, wholly: Bool) throws {
        guard socket >= 0 else { throw RawServer.Failure() }
        self.socket = socket
        var bytes: [UInt8] = []
        while !Self.isEnough(bytes, wholly: wholly) {
            let more = Self.read(socket)
            if more.isEmpty { throw RawServer.Failure() }
            bytes += more
        }
        text = String(decoding: bytes, as: UTF8.self)
    }

    deinit {
        close(socket)
    }

    func answer(_ text: String) {
        let bytes = Array(text.utf8)
        var written = 0
        while written < bytes.count {
            let more = bytes[written...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, sending) }
            if more <= 0 { return }
            written += more
        }
    }

    /// Waits until the client has closed the connection, or sent something more.
    func isClosed() async -> Bool {
        let socket = socket
        return await waiting { Self.read(socket).isEmpty }
    }

    private static func read(_ socket: Int32) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(socket, &buffer, buffer.count, 0)
        return Array(buffer.prefix(max(count, 0)))
    }

    private static func isEnough(_ bytes: [UInt8], wholly: Bool) -> Bool {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.range(of: "\r\n\r\n") else { return false }
        guard wholly else { return true }
        let head = text[..<end.lowerBound].lowercased()
        let length = head.range(of: "content-length: ").flatMap {
            Int(head[$0.upperBound...].prefix(while: \.isNumber))
        }
        return text[end.upperBound...].utf8.count >= length ?? 0
    }
}
