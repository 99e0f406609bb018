// Measures the inner loops, each on a tile or a chunk, and prints the result as Markdown.
//
// use: kernels [TEXT]                        GB/s of the kernels whose name has TEXT, or of all, beside memcpy; of the
//                                            time that the thread was at work
//      kernels --accumulators                what sums in binary64 cost against binary32
//      kernels --count                       runs every kernel once between two calls of benchmark_mark, for a program
//                                            that counts instructions, and prints the names; the environment's
//                                            EMBEDFUSE_KERNELS (baseline, v3, v4) chooses the instruction set
import Kernels

try InstructionSet.useThatOfEnvironment()
let arguments = CommandLine.arguments.dropFirst()

switch arguments.first {
case "--accumulators":
  Accumulators.report()
case "--count":
  let arena = Arena(size: 2 * Kernel.chunk)
  for kernel in Kernel.families.flatMap(\.kernels) {
    arena.runMarked(kernel)
    print(kernel.name)
  }
default:
  Report.print(of: arguments.first ?? "")
}
