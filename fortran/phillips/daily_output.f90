!! Snapshots of the flow in NetCDF-4 files, written by rank 0: in one, or in one for each restart.
module daily_output
  use netcdf, only: nf90_char, nf90_clobber, nf90_close, nf90_create, nf90_def_var, nf90_double, nf90_enddef, &
    nf90_float, nf90_global, nf90_netcdf4, nf90_put_att, nf90_put_var, nf90_sync, nf90_unlimited
  use configuration, only: settings
  use constants, only: dp, halo, layers
  use domain, only: block
  use features, only: feature_fields, feature_names
  use gather, only: whole_field
  use netcdf_file, only: check, define_dimension, define_variable, describe, move, stamped
  use parameters, only: depth
  use state, only: model_state
  use time_step, only: stepper
  implicit none
  private
  public :: create_output

  character(*), parameter :: feature_units(4) = [character(6) :: 'm3 s-2', 'm s-1', '1', '1']
  character(*), parameter :: feature_meanings(4) = [character(64) :: &
    'vertical sum of kinetic energy times thickness', &
    'vertical sum of relative vorticity times thickness', &
    'slope of the interface', &
    'deformation radius over the diagonal of a cell']

  !> The open file.
  type, public :: output_file
    private
    character(:), allocatable :: name, path, label
    integer :: id, record = 0
    integer :: time, h, u, v, e, features(4), energy, diffusivity, model
    logical :: eddies, in_parts
  contains
    procedure :: write => write_record
    procedure :: close => close_file
  end type output_file

contains

  !> Create the file on rank 0. One of several has a name of its own when it is closed.
  function create_output(b, chosen) result(output)
    type(block), intent(in) :: b
    type(settings), intent(in) :: chosen
    type(output_file) :: output

    integer :: time, layer, interface_, xh, yh, xq, yq, letters, axes(6), i, n

    output%in_parts = chosen%restart_days > 0
    output%name = trim(chosen%file)
    output%path = output%name
    if (output%in_parts) output%path = output%name//'.part'
    output%label = trim(chosen%label)
    output%eddies = chosen%scheme /= 'none'
    if (b%rank /= 0) return
    associate (id => output%id, path => output%path)
      call check(nf90_create(path, ior(nf90_netcdf4, nf90_clobber), id), path)
      call describe(id, path, 'Snapshots of a two-layer Phillips flow')
      call check(nf90_put_att(id, nf90_global, 'time_step', chosen%dt), path)
      call check(nf90_put_att(id, nf90_global, 'eddy_energy_scheme', trim(chosen%scheme)), path)
      call check(nf90_put_att(id, nf90_global, 'model', output%label), path)
      time = define_dimension(id, path, 'time', nf90_unlimited)
      layer = define_dimension(id, path, 'zl', layers)
      interface_ = define_dimension(id, path, 'zi', layers + 1)
      yh = define_dimension(id, path, 'yh', b%ny)
      xh = define_dimension(id, path, 'xh', b%nx)
      yq = define_dimension(id, path, 'yq', b%ny)
      xq = define_dimension(id, path, 'xq', b%nx)

      output%time = define_variable(id, path, 'time', nf90_double, [time], 'days since 2000-01-01 00:00:00', &
        'time since the start of the case', 'time')
      call check(nf90_put_att(id, output%time, 'calendar', 'proleptic_gregorian'), path)
      call check(nf90_put_att(id, output%time, 'axis', 'T'), path)
      axes(1) = define_variable(id, path, 'xh', nf90_double, [xh], 'm', 'x of the cell centres', &
        'projection_x_coordinate')
      axes(2) = define_variable(id, path, 'xq', nf90_double, [xq], 'm', 'x of the cells'' eastern faces', &
        'projection_x_coordinate')
      axes(3) = define_variable(id, path, 'yh', nf90_double, [yh], 'm', 'y of the cell centres', &
        'projection_y_coordinate')
      axes(4) = define_variable(id, path, 'yq', nf90_double, [yq], 'm', 'y of the cells'' northern faces', &
        'projection_y_coordinate')
      axes(5) = define_variable(id, path, 'zl', nf90_double, [layer], '1', 'layer, from the surface', &
        'model_level_number')
      axes(6) = define_variable(id, path, 'zi', nf90_double, [interface_], '1', 'interface, from the surface')
      do n = 1, 4
        call check(nf90_put_att(id, axes(n), 'axis', merge('X', 'Y', n <= 2)), path)
      end do
      do n = 5, 6
        call check(nf90_put_att(id, axes(n), 'axis', 'Z'), path)
        call check(nf90_put_att(id, axes(n), 'positive', 'down'), path)
      end do

      output%h = field('h', [xh, yh, layer, time], 'm', 'layer thickness', 'cell_thickness')
      output%u = field('u', [xq, yh, layer, time], 'm s-1', 'velocity along x', 'sea_water_x_velocity')
      output%v = field('v', [xh, yq, layer, time], 'm s-1', 'velocity along y', 'sea_water_y_velocity')
      output%e = field('e', [xh, yh, interface_, time], 'm', 'interface height')
      do n = 1, size(feature_names)
        output%features(n) = field(trim(feature_names(n)), [xh, yh, time], trim(feature_units(n)), &
          trim(feature_meanings(n)))
      end do
      output%diffusivity = field('Kh', [xh, yh, time], 'm2 s-1', 'thickness diffusivity', &
        'ocean_tracer_diffusivity_due_to_parameterized_mesoscale_eddy_advection')
      if (output%eddies) output%energy = field('EKE', [xh, yh, time], 'm3 s-2', &
        'vertical sum of eddy kinetic energy times thickness')
      if (output%label /= '') then
        letters = define_dimension(id, path, 'letters', len(output%label))
        call check(nf90_def_var(id, 'model', nf90_char, [letters, time], output%model), path)
        call check(nf90_put_att(id, output%model, 'long_name', 'model that gave the eddy kinetic energy'), path)
      end if
      call check(nf90_enddef(id), path)

      call check(nf90_put_var(id, axes(1), [((i - 0.5_dp) * b%dx, i = 1, b%nx)]), path)
      call check(nf90_put_var(id, axes(2), [(i * b%dx, i = 1, b%nx)]), path)
      call check(nf90_put_var(id, axes(3), [((i - 0.5_dp) * b%dx, i = 1, b%ny)]), path)
      call check(nf90_put_var(id, axes(4), [(i * b%dx, i = 1, b%ny)]), path)
      call check(nf90_put_var(id, axes(5), [(real(i, dp), i = 1, layers)]), path)
      call check(nf90_put_var(id, axes(6), [(real(i, dp), i = 1, layers + 1)]), path)
    end associate

  contains

    !> The id of a variable of the flow at that time.
    integer function field(name, dimensions, units, long_name, standard_name)
      character(*), intent(in) :: name, units, long_name
      integer, intent(in) :: dimensions(:)
      character(*), intent(in), optional :: standard_name

      field = define_variable(output%id, output%path, name, nf90_float, dimensions, units, long_name, standard_name)
      call check(nf90_put_att(output%id, field, 'cell_methods', 'time: point'), output%path)
    end function field
  end function create_output

  !> Write one record; collective.
  subroutine write_record(self, b, s, model, fields)
    class(output_file), intent(inout) :: self
    type(block), intent(in) :: b
    type(model_state), intent(in) :: s
    type(stepper), intent(in) :: model
    type(feature_fields), intent(in) :: fields  !! computed from this state

    real(dp), allocatable :: surface(:, :), lower(:, :)
    integer :: k, n

    self%record = self%record + 1
    if (b%rank == 0) call check(nf90_put_var(self%id, self%time, [s%day()], start=[self%record]), self%path)
    do k = 1, layers
      call put_layer(self%h, s%h(:, :, k), k)
      call put_layer(self%u, s%u(:, :, k), k)
      call put_layer(self%v, s%v(:, :, k), k)
    end do
    surface = whole_field(b, s%h(:, :, 1) + s%h(:, :, 2) - depth)
    lower = whole_field(b, s%h(:, :, 2) - depth)
    call put(self%e, surface, 1)
    call put(self%e, lower, 2)
    lower = -depth
    call put(self%e, lower, 3)
    do n = 1, size(feature_names)
      call put_flat(self%features(n), fields%values(:, :, n))
    end do
    call put_flat(self%diffusivity, model%eddies%diffusivity)
    if (self%eddies) call put_flat(self%energy, depth * s%eddy_energy)
    if (b%rank /= 0) return
    if (self%label /= '') call check(nf90_put_var(self%id, self%model, self%label, start=[1, self%record]), self%path)
    call check(nf90_sync(self%id), self%path)

  contains

    subroutine put_layer(variable, local, level)
      integer, intent(in) :: variable, level
      real(dp), intent(in), contiguous :: local(1 - halo:, 1 - halo:)

      call put(variable, whole_field(b, local), level)
    end subroutine put_layer

    subroutine put(variable, whole, level)
      integer, intent(in) :: variable, level
      real(dp), intent(in) :: whole(:, :)

      if (b%rank == 0) call check(nf90_put_var(self%id, variable, whole, start=[1, 1, level, self%record], &
        count=[b%nx, b%ny, 1, 1]), self%path)
    end subroutine put

    subroutine put_flat(variable, local)
      integer, intent(in) :: variable
      real(dp), intent(in), contiguous :: local(1 - halo:, 1 - halo:)

      associate (whole => whole_field(b, local))
        if (b%rank == 0) call check(nf90_put_var(self%id, variable, whole, start=[1, 1, self%record], &
          count=[b%nx, b%ny, 1]), self%path)
      end associate
    end subroutine put_flat
  end subroutine write_record

  !> Close the file; one of several that holds a snapshot then has the name of the time up to which it goes.
  subroutine close_file(self, b, s)
    class(output_file), intent(in) :: self
    type(block), intent(in) :: b
    type(model_state), intent(in) :: s

    if (b%rank /= 0) return
    call check(nf90_close(self%id), self%path)
    if (self%in_parts .and. self%record > 0) call move(self%path, stamped(self%name, s%stamp()))
  end subroutine close_file
end module daily_output
