import CXXHash
import TensorCore

/// The digest of bytes that come one piece after another.
@safe struct DigestStream: ~Copyable {
  private let state: OpaquePointer

  /// A stream of no bytes yet; `path` is what they come from, for the message.
  init(of path: String) throws(EmbedFuseError) {
    guard let state = unsafe XXH3_createState() else {
      throw EmbedFuseError(.inputOutput, "no memory is left to read it", path: path)
    }
    unsafe XXH3_128bits_reset(state)
    unsafe self.state = state
  }

  deinit { unsafe XXH3_freeState(state) }

  /// Takes in the next bytes.
  mutating func update(_ bytes: Span<UInt8>) {
    _ = unsafe bytes.withUnsafeBufferPointer { unsafe cxxhash_update(state, $0.baseAddress, $0.count) }
  }

  /// The digest of what was taken in so far, as `ContentDigest.of` gives it for all at once.
  var digest: ContentDigest {
    let hash = unsafe XXH3_128bits_digest(state)
    return ContentDigest(high: hash.high64, low: hash.low64)
  }
}
