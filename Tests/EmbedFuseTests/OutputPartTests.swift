import Testing

@testable import EmbedFuse

/// `--part i/n` and its forms for schedulers.
@Suite struct OutputPartTests {
  static let environment = [
    "JOB_COMPLETION_INDEX": "0", "SLURM_ARRAY_TASK_ID": "3", "SLURM_PROCID": "1", "SLURM_NTASKS": "2",
    "RANK": "7", "WORLD_SIZE": "8", "TEXT": "three", "EMPTY": "", "HUGE": "99999999999999999999",
  ]

  @Test(arguments: [
    ("1/1", "1/1"), ("2/5", "2/5"), ("JOB_COMPLETION_INDEX/4", "1/4"), ("SLURM_ARRAY_TASK_ID/3", "3/3"),
    ("SLURM_PROCID/SLURM_NTASKS", "2/2"), ("RANK/WORLD_SIZE", "8/8"), ("02/010", "2/10"),
  ])
  func schedulersFormsAreRead(_ text: String, _ expected: String) throws {
    #expect(try OutputPart(text) { Self.environment[$0] }.description == expected)
  }

  @Test(arguments: [
    ("0/4", "no part 0 of 4"), ("5/4", "no part 5 of 4"), ("1/0", "no part 1 of 0"), ("1/10001", "no part 1"),
    ("SLURM_ARRAY_TASK_ID/2", "no part 3 of 2"), ("3", "not of the form"), ("1/2/3", "not of the form"),
    ("-1/4", "not of the form"), ("1.5/4", "not of the form"), ("/4", "not of the form"),
    ("$RANK/4", "not of the form"), ("1/", "not of the form"), ("MISSING/4", "MISSING is not set"),
    ("TEXT/4", "TEXT is three, which is no number"), ("EMPTY/4", "which is no number"),
    ("HUGE/4", "which is no number"), ("1/HUGE", "which is no number"),
  ])
  func otherFormsAreRefused(_ text: String, _ problem: String) throws {
    let error = try #require(throws: EmbedFuseError.self) {
      try OutputPart(text) { Self.environment[$0] }
    }
    #expect(error.code == .usage && error.problem.contains(problem), "\(error)")
  }

  @Test func anArrayThatStartsAtZeroIsToldHowToCount() throws {
    let error = try #require(throws: EmbedFuseError.self) {
      try OutputPart("SLURM_ARRAY_TASK_ID/4") { _ in "0" }
    }
    #expect(error.remedy?.contains("--array=1-4") == true)
  }

  @Test func foldersAreNamedAfterParts() throws {
    let part = try OutputPart(2, of: 15)
    #expect(part.folderName == "part-00002-of-00015" && OutputPart(folderName: part.folderName) == part)
    for name in [
      "part-2-of-15", "part-00016-of-00015", "part-00002-of-00015.tmp", "part", "x-00001-of-00002",
    ] {
      #expect(OutputPart(folderName: name) == nil, "\(name)")
    }
  }
}
