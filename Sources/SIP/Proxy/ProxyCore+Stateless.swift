import Platform
import SharedState
import Syntax

/// Forwarding without transactions (RFC 3261 §16.11), for whoever does it: the branch is computed from the
/// request, so that what comes again, its CANCEL and the ACK to its failure take the same way with the same
/// branch.
extension ProxyCore {
    package enum StatelessOutcome {
        /// The request is written, and goes there.
        case send(Endpoint)
        /// The resolver has to be asked for the name of this target.
        case wait(PlacedTarget)
        case nowhere
    }

    /// Writes the request for the one target of a set. The answer comes back on the connection that the request
    /// came on.
    package func writeStateless(
        _ message: Message, _ request: RoutedRequest, set: Span<UInt8>, recordRoutes: Bool, now: UInt64,
        to writer: inout ByteWriter
    ) -> StatelessOutcome {
        guard let placed = TargetSet(set)?.target(0) else { return .nowhere }
        let branch = Branch(
            statelessOver: message.branch, callID: message.callID, cseq: message.index.cseqNumber,
            answeredTo: AnswerAddress(message, from: request.source.peer), loopMark: request.loopMark,
            keys: keys)
        var found = CandidateList()
        guard findCandidates(of: placed, in: set, seed: branch.check, now: now, into: &found) else {
            return .wait(placed)
        }
        guard found.count > 0 else { return .nowhere }
        let candidate = found[0]
        let arrived = Int(request.source.endpoint.listener)
        guard
            let listener = identity.listener(for: candidate.address, candidate.transport, preferred: arrived)
        else { return .nowhere }
        var lines = line
        writeVia(listener, branch, flow: request.source.endpoint.connection, to: &lines)
        let viaEnd = lines.count
        if recordRoutes && placed.target.flags.contains(.recordRoute) {
            writeRecordRoutes(message.callID, leaving: listener, arriving: arrived, to: &lines)
        }
        let written = lines.written
        writeForwarded(
            message, placed, in: set, source: request.source.endpoint, via: written.extracting(0..<viaEnd),
            recordRoute: written.extracting(viaEnd..<written.count), breadth: breadth(of: request),
            isForStream: candidate.transport.isReliable, to: &writer)
        if writer.overflowed { return .nowhere }
        return .send(Endpoint(candidate.transport, candidate.address, listener: UInt16(listener)))
    }

    /// Where the response to a request goes that was forwarded without state: by its second Via, or on the
    /// connection that the request came on; nil where the branch is not ours.
    package func endpoint(ofStateless response: Message, _ branch: Branch, cameOn: Endpoint) -> Endpoint? {
        // Nothing answers an ACK.
        guard branch.isStateless, response.index.cseqMethod != .ack, let next = response.secondVia(),
            Branch(
                statelessOver: response.bytes.slice(next.branch), callID: response.callID,
                cseq: response.index.cseqNumber, answeredTo: AnswerAddress(of: next, response.bytes),
                loopMark: branch.loopMark, keys: keys) == branch,
            var endpoint = endpoint(of: next, response, cameOn: cameOn)
        else { return nil }
        endpoint.connection = FlowMark.connection(response, branch, keys: keys)
        return endpoint
    }

    // MARK: answers

    /// Writes an answer without a transaction: to what is wrong, or when there is no room for one. The same
    /// request gets the same bytes.
    package func writeAnswer(
        _ message: Message, _ source: RequestSource, status: UInt16, reason: StaticString?,
        extra: Span<UInt8>, to writer: inout ByteWriter
    ) {
        // `extra` may lie at the begin of the same scratch.
        var tag = line
        tag.skip(extra.count)
        tag.append("sf")
        tag.append(hexadecimal: answerMark(message), digits: 16)
        LocalResponse.write(
            request: message, status: status, reason: reason ?? ReasonPhrase.text(status),
            toTag: tag.written.extracting(extra.count..<tag.count), peer: source.peer, extra: extra,
            to: &writer)
    }

    /// The To tag of such answers, derived from the request: the ACK to one is recognised by it and dropped.
    private func answerMark(_ message: Message) -> UInt64 {
        var hash = keys.marks(.statelessTag)
        hash.combine(message.callID)
        hash.combine(UInt64(message.index.cseqNumber))
        return hash.finalize()
    }

    /// True for an ACK to such an answer.
    package func acknowledgesAnswer(_ ack: Message) -> Bool {
        let tag = ack.toTag
        guard tag.count == 18, tag[0] == 0x73, tag[1] == 0x66 else { return false }
        var expected = line
        expected.append(hexadecimal: answerMark(ack), digits: 16)
        return tag.extracting(2..<18).isEqual(to: expected.written)
    }
}
