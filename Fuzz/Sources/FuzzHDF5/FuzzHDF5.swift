import EmbedFuse
import FuzzInput
import Glibc

private let samples =
  #filePath.split(separator: "/").dropLast(4).reduce("") { "\($0)/\($1)" } + "/fixtures/samples"

/// The base of files of differences, and a shard that Keras's indexes may name.
private let others: Void = {
  FuzzInput.write(FuzzInput.safetensors("a 8 8\nb 8".utf8), to: "base.safetensors")
  // A copy, since links that lead elsewhere aren't followed.
  FuzzInput.write(sample("keras/sharded_00000.weights.h5"), to: "sharded_00000.weights.h5")
  // What descriptions that come without a file are taken to be of.
  FuzzInput.write(sample("hdf5/filters.h5"), to: "described.h5")
}()

private func sample(_ name: String) -> [UInt8] {
  let file = open("\(samples)/\(name)", O_RDONLY)
  var bytes = [UInt8](repeating: 0, count: 1 << 20)
  let count = bytes.withUnsafeMutableBytes { Glibc.read(file, $0.baseAddress, $0.count) }
  precondition(count > 0 && count < bytes.count, "no \(name) at \(samples)")
  close(file)
  return Array(bytes[..<count])
}

/// Spares the child process, which is forked for each input, a copy of the fuzzer's tables: these are most of what the
/// process holds.
private let leaner: Void = {
  guard let map = fopen("/proc/self/maps", "r") else { return }
  var line = [CChar](repeating: 0, count: 4096)
  while fgets(&line, CInt(line.count), map) != nil {
    let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    let words = text.split(whereSeparator: \.isWhitespace)
    let ends = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
    // Anonymous memory, but not the shadow of AddressSanitizer, which is larger, nor the heap, which has a name.
    guard words.count == 5, words[1] == "rw-p", 16 << 20..<64 << 20 ~= ends[1] - ends[0] else { continue }
    madvise(UnsafeMutableRawPointer(bitPattern: ends[0]), Int(ends[1] - ends[0]), MADV_DONTFORK)
  }
  fclose(map)
  // Told apart from a child process that lacks what it needs, in which all files would fail.
  let sound = try? ModelSource.open("\(samples)/hdf5/mixed.h5")
  precondition(sound != nil, "the child process lacks what it needs")
}()

/// HDF5 files of all kinds, our own with the files and differences in them, Keras's archives, indexes of its shards, and
/// what the process that describes a file may hand over once a hostile file has taken it over.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzHDF5(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = UnsafeRawBufferPointer(start: start, count: count)
  others
  leaner
  keeper
  tried = input
  isDescription = input.first == UInt8(ascii: "+") || input.first == UInt8(ascii: "-")
  guard !isDescription else {
    read("\(FuzzInput.folder)/described.h5")
    precondition(openObjects() <= 0, "a file, or something in it, was left open")
    return 0
  }
  let name =
    input.starts(with: [0x50, 0x4B])
    ? "input.keras" : input.first == UInt8(ascii: "{") ? "sharded.weights.json" : "input.h5"
  // A new file each time: the library shares what it knows of one that is open.
  unlink("\(FuzzInput.folder)/\(name)")
  FuzzInput.write(Array(input), to: name)
  read("\(FuzzInput.folder)/\(name)")
  precondition(openObjects() <= 0, "a file, or something in it, was left open")
  return 0
}

private func read(_ path: String) {
  var options = OpeningOptions()
  options.deltaBase = "\(FuzzInput.folder)/base.safetensors"
  do {
    let model = try ModelSource.open(path, options: options)
    guard model.cacheBytes < 64 << 20 else { return }
    try FuzzInput.read(model.tensors.map(\.stored))
  } catch {}
}

/// How many files, and objects in them, the HDF5 library has open.
@_silgen_name("ef_h5_open_count")
private func openObjects() -> Int64

// MARK: - Without the child process

/// What is being tried.
nonisolated(unsafe) private var tried = UnsafeRawBufferPointer(start: nil, count: 0)

/// Where to keep it if the C library ends the process.
nonisolated(unsafe) private var findings: UnsafeMutablePointer<CChar>?

/// With FUZZ_NO_CHILD the C library often ends the process since the HDF5 library has spoilt the heap. It may hold the
/// heap's lock then, on which libFuzzer's own handler, that wants memory, would wait forever.
private let keeper: Void = {
  guard getenv("FUZZ_NO_CHILD") != nil, let folder = getenv("FUZZ_FINDINGS") else { return }
  findings = strdup("\(String(cString: folder))/abort-\(getpid())")
  signal(SIGABRT) { _ in
    let file = open(findings!, O_WRONLY | O_CREAT, 0o644)
    write(file, tried.baseAddress, tried.count)
    _exit(77)
  }
}()

/// F_SETPIPE_SZ of fcntl(2), which the headers keep for GNU's source.
private let setPipeSize: CInt = 1031

/// Stands in the place of what starts the process that describes a file (`CHDF5/Description.h`). With FUZZ_NO_CHILD this
/// process describes it, so that a crash is the HDF5 library's if the program comes through with the child.
@_cdecl("ef_h5_start_child")
public func startChild(_ source: UnsafeRawPointer, _ pipe: CInt) -> pid_t {
  guard isDescription || getenv("FUZZ_NO_CHILD") != nil else { return forkChild(source, pipe) }
  // Nobody reads yet: a description that is longer than a pipe can hold is cut.
  _ = fcntl(pipe, setPipeSize, 1 << 20)
  _ = fcntl(pipe, F_SETFL, O_NONBLOCK)
  if isDescription {
    write(pipe, tried.baseAddress, tried.count)
  } else {
    _ = describe(into: pipe, source)
  }
  // A process that there isn't.
  return .max
}

@_silgen_name("ef_h5_fork_child")
private func forkChild(_ source: UnsafeRawPointer, _ pipe: CInt) -> pid_t

@_silgen_name("ef_h5_describe_into")
private func describe(into pipe: CInt, _ source: UnsafeRawPointer) -> CInt

// MARK: - Descriptions without a file

/// True if what is tried is what a child process would hand over.
nonisolated(unsafe) private var isDescription = false
