import Platform

/// `status --json`: an interface that others rely on.
extension StatusView {
    var json: JSON {
        [
            "pid": .number(pid), "uptime_seconds": .number(uptime), "mode": .string(mode),
            "version": .string(Version.text), "listeners": .array(listeners.map { .string($0) }),
            "load": .optional(thousandths: master.load),
            "workers": .array(
                workers.enumerated().map { index, worker in
                    [
                        "index": .number(index), "pid": .number(worker.pid),
                        "restarts": .number(worker.restarts), "load": .optional(thousandths: worker.load),
                        "queue": .number(worker.queue ?? 0), "delay_ms": .number(worker.delay ?? 0),
                    ]
                }),
            "processes": [
                "locator": locator.json, "resolver": resolver.json, "logger": logger.json,
            ],
            "calls": [
                "now": .number(calls),
                "started_per_second": .optional(thousandths: rates?.started),
                "answered_per_second": .optional(thousandths: rates?.answered),
                "failed_per_second": .optional(thousandths: rates?.failed),
            ],
            "transactions": .number(transactions), "bindings": .number(bindings),
            "connections": .number(connections),
            "arena": ["records": .number(records), "slots": .number(slots), "stored": .number(stored)],
            "last_errors": .array(lastErrors.map(\.json)),
            "counters": .object(counters.map { JSON.Member(key: $0.name, value: .number($0.value)) }),
        ]
    }
}

extension StatusView.Process {
    fileprivate var json: JSON {
        ["pid": .number(pid), "restarts": .number(restarts), "load": .optional(thousandths: load)]
    }
}

extension StatusView.LastError {
    fileprivate var json: JSON {
        [
            "time": .number(time), "process": .string(process), "event": .string(event),
            "message": .string(message),
        ]
    }
}
