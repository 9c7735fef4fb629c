"""Tests of the protocol, and the fakes they share."""
