!! Each rank's tile of the features, sent to the store as a data set and put on a list.
module tile_stream
  use mpi_f08, only: MPI_Barrier, MPI_COMM_WORLD
  use parslflow_client, only: PF_OK, store_client, store_dataset
  use configuration, only: settings
  use constants, only: halo
  use domain, only: block
  use failure, only: stop_if_any
  use features, only: feature_fields, feature_names
  use state, only: model_state
  implicit none
  private
  public :: open_stream

  !> Where the tiles go.
  type, public :: stream
    character(:), allocatable :: problem  !! why this rank's last tile was not sent, or nothing
    type(store_client), private :: store
    character(:), allocatable, private :: list, run
  contains
    procedure :: send
    procedure :: finish
  end type stream

contains

  !> Connect to the store; collective. Without a list nobody waits for the tiles, and none is sent.
  function open_stream(chosen) result(tiles)
    type(settings), intent(in) :: chosen
    type(stream) :: tiles

    tiles%list = trim(chosen%list)
    tiles%run = trim(chosen%run)
    if (tiles%list == '') return
    call stop_if_any(tiles%store%connect(chosen%time_limit) /= PF_OK, tiles%store%message())
  end function open_stream

  !> Send this rank's tile of this time, or set `problem`. The name is unique and sorts by time, so sending it twice changes nothing.
  subroutine send(self, b, s, fields)
    class(stream), intent(inout) :: self
    type(block), intent(in) :: b
    type(model_state), intent(in) :: s
    type(feature_fields), intent(in) :: fields  !! with valid halos

    type(store_dataset) :: tile
    character(6) :: rank
    integer :: error, n

    self%problem = ''
    if (self%list == '') return
    write (rank, '(i6.6)') b%rank
    error = tile%initialize(self%run//'_'//s%stamp()//'_'//rank)
    do n = 1, size(feature_names)
      if (error == PF_OK) error = tile%add_tensor(trim(feature_names(n)), fields%values(:, :, n))
    end do
    call add('idg_offset', b%i_offset - halo)
    call add('jdg_offset', b%j_offset - halo)
    call add('isc', halo + 1)
    call add('iec', halo + b%ni)
    call add('jsc', halo + 1)
    call add('jec', halo + b%nj)
    call add('ieg', b%nx)
    call add('jeg', b%ny)
    call add('rank', b%rank)
    call add('ranks', b%ranks)
    if (error == PF_OK) error = tile%add_metadata('day', s%day())
    if (error == PF_OK) error = tile%add_metadata('run', self%run)
    if (error /= PF_OK) then
      self%problem = tile%message()
    else if (self%store%put_dataset_to_list(self%list, tile) /= PF_OK) then
      self%problem = self%store%message()
    end if
    call tile%free()

  contains

    subroutine add(name, value)
      character(*), intent(in) :: name
      integer, intent(in) :: value

      if (error == PF_OK) error = tile%add_metadata(name, value)
    end subroutine add
  end subroutine send

  !> Say that all has been sent; collective.
  subroutine finish(self, b, times)
    class(stream), intent(inout) :: self
    type(block), intent(in) :: b
    integer, intent(in) :: times  !! of the whole run

    type(store_dataset) :: marker
    integer :: error

    if (self%list == '') return
    call MPI_Barrier(MPI_COMM_WORLD)
    error = PF_OK
    if (b%rank == 0) then
      error = marker%initialize(self%run//'_end')
      if (error == PF_OK) error = marker%add_metadata('times', times)
      if (error == PF_OK) error = marker%add_metadata('status', 0)
      if (error == PF_OK) error = marker%add_metadata('run', self%run)
      if (error == PF_OK) error = self%store%put_dataset_to_list(self%list, marker)
      call marker%free()
    end if
    call stop_if_any(error /= PF_OK, self%store%message())
    error = self%store%disconnect()
  end subroutine finish
end module tile_stream
