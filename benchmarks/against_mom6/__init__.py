"""The two-layer model beside MOM6's own output of the same case."""
