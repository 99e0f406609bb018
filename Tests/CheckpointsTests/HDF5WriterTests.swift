import Foundation
import TensorCore
import Testing

@testable import Checkpoints

@Suite struct HDF5WriterTests {
  @Test(arguments: [1, 4])
  func smoke(threads: Int) throws {
    let sample = HDF5Sample.everything
    try sample.write(to: "/tmp/smoke\(threads).h5", threads: threads)
  }
}
