/// One kernel with inputs of a fixed size: a tile, or a chunk where the kernel takes chunks.
struct Kernel {
  /// What is run, on how many inputs, of which type.
  let name: String
  /// Bytes of the inputs that one run has to itself.
  let input: Int
  /// Bytes of the outputs that one run has to itself.
  let output: Int
  /// Bytes that one run reads and writes. What is changed in place counts twice.
  let moved: Int
  /// Writes the inputs, or what is changed in place.
  let prepare: (_ input: UnsafeMutableRawPointer, _ output: UnsafeMutableRawPointer) -> Void
  /// Runs the kernel once.
  let run: (_ input: UnsafeMutableRawPointer, _ output: UnsafeMutableRawPointer) -> Void

  /// A kernel that reads all of its inputs, and writes all of its outputs or changes them in place.
  init(
    _ name: String, input: Int, output: Int, inPlace: Bool = false,
    prepare: @escaping (UnsafeMutableRawPointer, UnsafeMutableRawPointer) -> Void,
    run: @escaping (UnsafeMutableRawPointer, UnsafeMutableRawPointer) -> Void
  ) {
    (self.name, self.input, self.output) = (name, input, output)
    moved = input + output * (inPlace ? 2 : 1)
    (self.prepare, self.run) = (prepare, run)
  }

  /// A kernel that reads `rows` rows of a tile's values and writes `outputs` rows, or changes them in place.
  init(
    _ name: String, rows: Int, outputs: Int = 0, inPlace: Bool = false,
    run: @escaping (_ x: UnsafeMutablePointer<Double>, _ target: UnsafeMutablePointer<Double>) -> Void
  ) {
    self.init(
      name, input: 8 * rows * Kernel.tile, output: 8 * outputs * Kernel.tile, inPlace: inPlace
    ) { input, output in
      SampleValues.write(rows: rows, count: Kernel.tile, to: input)
      if inPlace { SampleValues.write(rows: outputs, count: Kernel.tile, to: output) }
    } run: { input, output in
      run(input.assumingMemoryBound(to: Double.self), output.assumingMemoryBound(to: Double.self))
    }
  }

  /// Elements of a tile, as the engine takes them.
  static let tile = 4096
  /// Bytes of a chunk of a compressed checkpoint.
  static let chunk = 1 << 20

  /// All kernels, by family.
  static var families: [(name: String, kernels: [Kernel])] {
    [
      ("Conversion", conversions), ("Stored elements to stored elements", storedElements),
      ("Combination", combinations), ("Sums", sums),
      ("Element granularity", elementGranularity), ("Selection", selections),
      ("Products and logarithms", products), ("Bytes", bytes),
    ]
  }
}
