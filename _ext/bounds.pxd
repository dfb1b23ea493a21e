# The columns of ``bounds``, where a row says where a tile lies in the global array.
cdef enum:
    RANK
    I_OFFSET    # global = local + offset
    J_OFFSET
    ISC         # computational domain, 1-based, ends included, in the tile with its halo
    IEC
    JSC
    JEC
    NI          # extents of the tile, halo included
    NJ
    COLUMNS
