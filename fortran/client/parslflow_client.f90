!> The client of a simulation, over the C core in parslflow_client.h, which says what is guaranteed.
!!
!! Every function returns an error code, PF_OK or one of the constants below; message() says in one
!! sentence what went wrong. A call connects again when the connection was lost, and waits while the
!! store is full, until the time limit.
!!
!! Arrays are real32, real64, int8, int16, int32 or int64 of any rank from 1, contiguous or not. An
!! element a(i, j) is a[i-1, j-1] in Python.
!!
!! Both types hold a handle: a copy of a variable is the same client or data set, and the memory is
!! given back by disconnect() and free(), once.
module parslflow_client
  use parslflow_dataset, only: store_dataset
  use parslflow_errors
  use parslflow_store, only: store_client
  use parslflow_text, only: store_text
  implicit none
  public
end module parslflow_client
